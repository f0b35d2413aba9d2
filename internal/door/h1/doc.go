// Package h1 is the HTTP/1.1 door: its own engine, one goroutine a connection,
// that reads a head once, asks the gate, and relays both ways with nothing copied
// that need not be. A connection that has waited for a request for some seconds
// sleeps: it gives its goroutine and its state back, and one poller waits for all
// who sleep (doze.go; on Linux).
//
// It owns the client's connection from the first byte to the last: parsing
// (wire), limits of time and size, keep-alive, answers of the gateway's own,
// relaying and tunnels. It does not choose targets or keep their connections
// (upstream does) and decides nothing (gate does).
//
// A request whose body is there already goes to a plain HTTP/1.1 target by the
// direct way: one write out, one write back, on the connection's own goroutine.
// Every other one goes the general way, over upstream's carriers.
//
// The strings of an exchange are views into the buffer that its head was read
// into (input): until the exchange has ended, nothing is read into that buffer.
package h1
