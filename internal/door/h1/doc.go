// Package h1 is the HTTP/1.1 door: its own engine, one goroutine a connection,
// that reads a head once, asks the gate, and relays both ways with nothing copied
// that need not be.
//
// It owns the client's connection from the first byte to the last: parsing
// (wire), limits of time and size, keep-alive, answers of the gateway's own,
// relaying and tunnels. It does not choose targets or keep their connections
// (upstream does) and decides nothing (gate does).
package h1
