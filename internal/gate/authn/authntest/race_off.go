//go:build !race

package authntest

const raceEnabled = false
