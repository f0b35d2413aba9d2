package h1

import "runtime/debug"

// calm gives memory back behind a wave of new connections: what handshakes and first
// requests leave behind, and the stacks that they made grow, would stay until so much
// is allocated again as is in use, which idle connections never do.
type calm struct {
	last  int // how many connections there were a second ago
	freed int // and when memory was given back last
	free  func()
}

// wave is the number of new connections that is worth it.
const wave = 1000

func newCalm() calm { return calm{free: debug.FreeOSMemory} }

// look is called once a second with the number of connections.
func (c *calm) look(n int) {
	quiet := n <= c.last+c.last/64
	c.last, c.freed = n, min(c.freed, n)
	if quiet && n >= c.freed+max(wave, c.freed/4) {
		c.freed = n
		go c.free()
	}
}
