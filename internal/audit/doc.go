// Package audit records what happened: every decision in two parts and every
// change, as JSON lines in segments on disk, written before anything is
// forwarded, and readable back by query.
//
// It decides nothing and blocks nobody for long: a segment that cannot be
// written is an error, which callers turn into a refusal.
package audit
