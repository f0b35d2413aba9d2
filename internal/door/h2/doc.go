// Package h2 is the HTTP/2 door: its own engine (RFC 9113), one goroutine that
// reads a connection, workers that carry the requests, and one buffer in which
// their answers gather until somebody writes it out.
//
// It owns the client's connection from the preface to the last frame: frames,
// header blocks, streams, flow control, limits of time, size and patience, answers
// of the gateway's own, and relaying. It chooses no targets and keeps no
// connections to them (upstream does), reads no answers of theirs but by wire's
// rules, and decides nothing (gate does).
//
// Who holds what: the reader's fields are the reader's alone; what conn.mu guards
// is written by whoever holds it, and nobody waits for a socket while holding it;
// a stream's exchange is its worker's alone.
package h2
