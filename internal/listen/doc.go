// Package listen holds the sockets on which clients arrive: binding and inheriting
// them, TLS with its certificates and their reloading, the verification of client
// certificates, the limits on connections, the redirect to https, and the drain.
//
// It does not read requests or answer them: it hands connections to a door's own
// engine, or to net/http with a door as handler. Only app opens listeners; doors
// ask a listener for the facts of a handshake.
package listen
