// Package authntest is what tests of authentication share: a directory in memory,
// and the suite that every method passes.
package authntest
