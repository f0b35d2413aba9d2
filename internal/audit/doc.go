// Package audit records what happened: every decision in two parts and every
// change, as JSON lines in segments on disk, written before anything is
// forwarded, and readable back by query.
//
// It owns the folder dataDir/audit: segments named by the number of their first
// event, and beside them whatever a crash left torn. It decides nothing and
// blocks nobody for long: a segment that cannot be written is an error, which
// callers turn into a refusal. It masks no secrets: whoever builds an event
// leaves them out; only a path's query is cut here as a last resort.
//
// The gate's recorder, the write side and the logins append; the admin API and
// the command line read.
//
// # The segment
//
// On Linux the open segment is a shared mapping: an event is a copy into the page
// cache, which outlives the process, and costs no system call. Blocks are
// allocated before they are mapped, so that a full disk is an error at allocation
// and never a fault at a store. The part ahead of the last event is filled with
// line feeds, which every reader of JSON lines takes for blank lines. An event's
// first byte is stored last: a line that begins with '{' is whole. Elsewhere, and
// on file systems that cannot allocate, each event is one write.
package audit
