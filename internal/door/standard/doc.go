// Package standard is the door that rides on the standard library's server: a
// second implementation of HTTP/1.1 and HTTP/2, beside the engines of our own.
//
// It owns the translation between net/http and gate.Exchange, as strictly as
// net/http lets one see; the answers to refusals; relaying both ways; tunnels; and
// the counting of what passed. It opens no sockets (listen does), chooses no
// targets (upstream does) and decides nothing (gate does).
package standard
