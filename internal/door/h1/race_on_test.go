//go:build race

package h1

// raced says that the race detector is on, which allocates.
const raced = true
