// Package archtest holds the arrows between rooms as a test: who may import whom.
// It has no code of its own.
package archtest
