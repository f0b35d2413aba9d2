//go:build race

package authntest

const raceEnabled = true
