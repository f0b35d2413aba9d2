// Package doortest is the one suite that every door passes, whichever engine it is
// and whichever protocol it speaks: Run for what all doors do, RunHTTP1 for those
// that speak HTTP/1.1. It owns the gateway around a door under test, too: the real
// gate with a recorder that remembers, streams, pools, a listener, clients.
//
// Each door's own tests say how it is made, run the suite, and hold what is their
// protocol's or their engine's alone. It knows no particular door and is imported
// by their tests alone.
package doortest
