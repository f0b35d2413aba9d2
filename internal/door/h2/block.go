package h2

import (
	"golang.org/x/net/http2/hpack"

	"github.com/sallyport/sallyport/internal/door/h2/frame"
)

// block is the header block under way: HEADERS and the CONTINUATION frames behind
// it, which nothing may interrupt (RFC 9113, 4.3).
type block struct {
	open     bool
	id       uint32
	ended    bool          // END_STREAM
	opened   *stream       // the stream that the block opens; nil = none
	trailers trailerFields // gathered where behind is set
	behind   bool          // the block is the trailers of a stream that is open
	end      frame.Code    // the stream error that the stream ends with; NoError = none
	reset    bool          // end applies

	frames int // beyond the first
	bytes  int // compressed
	size   int // of the list, as RFC 9113, 6.5.2, counts
}

const (
	// mostContinuations and mostBlock bound what a block may be once it is clear
	// that it is too large: its fields are dropped, but they must be decoded, for
	// the table is the connection's (CVE-2024-27316, CVE-2023-45288).
	mostContinuations = 64
	blockTimes        = 4
	// forgiven is what a list may be larger than the limit by: the 32 bytes that
	// each field counts beyond itself are not in anybody's mind who sets a limit.
	forgiven = 10 * 32
	// heldHeads, in heads of the largest size, is what all streams of a connection
	// may hold at a time: 2 MiB by default, not the 8 that 250 of them could.
	heldHeads = 64
)

func (c *conn) mostBlock() int { return blockTimes * c.s.cfg.HeaderBytes }

// headers takes a HEADERS frame.
func (c *conn) headers(h frame.Header, p []byte) error {
	if h.Stream%2 == 0 {
		return protocolError("HEADERS on a stream that no client opens")
	}
	p, err := unpad(h, p)
	if err != nil {
		return err
	}
	b := &c.block
	*b = block{open: true, id: h.Stream, ended: h.Flags.Has(frame.EndStream), trailers: trailerFields{list: b.trailers.list[:0]}}
	if h.Flags.Has(frame.HasPriority) {
		if len(p) < 5 {
			return sizeError("HEADERS is too short for its priority")
		}
		if dependency(p) == h.Stream {
			b.reset, b.end = true, frame.ProtocolError
		}
		p = p[5:]
	}
	if err := c.admit(); err != nil {
		return err
	}
	c.dec.SetEmitEnabled(true)
	if c.heading.Load() == 0 {
		c.heading.Store(c.s.clock.Load())
	}
	return c.fragment(p, h.Flags)
}

// admit decides what becomes of the block's stream. The block is decoded whatever
// comes of it.
func (c *conn) admit() error {
	b := &c.block
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.streams[b.id]
	switch {
	case st != nil && st.remoteDone:
		b.reset, b.end = true, frame.StreamClosed
	case st != nil && !b.ended && !b.reset: // a second head (RFC 9113, 8.1)
		b.reset, b.end = true, frame.ProtocolError
	case st != nil:
		b.behind = true
	case b.id > c.lastID:
		return c.admitNew()
	default:
		switch c.closed.get(b.id) {
		case byUs: // the client may not know yet
			if b.ended {
				c.stopped(b.id)
			}
		case byPeer:
			b.reset, b.end = true, frame.StreamClosed
		case whole:
			return &fault{frame.StreamClosed, "HEADERS on a stream that has ended"}
		default:
			return protocolError("HEADERS on a stream below the last")
		}
	}
	return nil
}

// admitNew opens a stream, or refuses to; with mu held.
func (c *conn) admitNew() error {
	b := &c.block
	if c.final {
		return nil // nobody's: the client was told that it is not processed
	}
	c.lastID = b.id
	if b.reset {
		return nil
	}
	// Who resets its streams makes room in the table, not among the workers
	// (CVE-2023-44487): both are counted.
	if len(c.streams) >= c.s.cfg.Streams || c.busy >= 2*c.s.cfg.Streams || c.heads >= heldHeads*c.s.cfg.HeaderBytes {
		b.reset, b.end = true, frame.RefusedStream
		return nil
	}
	b.opened = c.s.streams.Get().(*stream)
	b.opened.reuse(c, b.id)
	return nil
}

// continuation takes a CONTINUATION frame, which read has found to belong.
func (c *conn) continuation(h frame.Header, p []byte) error {
	if c.block.frames++; c.block.frames > mostContinuations {
		return calm("a header block in too many frames")
	}
	return c.fragment(p, h.Flags)
}

// fragment decodes a piece of the block.
func (c *conn) fragment(p []byte, flags frame.Flags) error {
	b := &c.block
	if b.bytes += len(p); b.bytes > c.mostBlock() {
		return calm("a header block far beyond the limit")
	}
	if _, err := c.dec.Write(p); err != nil {
		return &fault{frame.CompressionError, "a header block cannot be decoded"}
	}
	if !flags.Has(frame.EndHeaders) {
		return nil
	}
	if err := c.dec.Close(); err != nil {
		return &fault{frame.CompressionError, "a header block ends in the middle of a field"}
	}
	b.open = false
	c.heading.Store(0)
	return c.settle()
}

// field takes a decoded field. The decoder calls it.
func (c *conn) field(f hpack.HeaderField) {
	b := &c.block
	b.size += len(f.Name) + len(f.Value) + 32
	if b.size > c.s.cfg.HeaderBytes+forgiven {
		c.dec.SetEmitEnabled(false) // the rest of the block is nobody's; a bomb costs no more
		b.trailers.fault = true
		if b.opened != nil {
			b.opened.head.tooLarge = true
			b.opened.head.uriTooLong = f.Name == ":path"
		}
		return
	}
	switch {
	case b.opened != nil:
		b.opened.head.add(f)
	case b.behind:
		b.trailers.add(f)
	}
}

// settle acts on a block that is whole.
func (c *conn) settle() error {
	b := &c.block
	if st := b.opened; st != nil {
		b.opened = nil
		st.head.settle(b.ended)
		st.head.size = b.size
		c.open(st, b.ended)
		c.hand(st)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case b.reset:
		if st := c.streams[b.id]; st != nil {
			return c.violate(st, b.end)
		}
		c.out = frame.AppendRST(c.room(), b.id, b.end)
		c.closed.put(b.id, byUs)
		return c.early()
	case b.behind:
		return c.endBody(b)
	}
	return c.idleFrame(1)
}

// open puts the stream into the table.
func (c *conn) open(st *stream, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget.useful(0)
	st.sendWindow = c.firstWindow
	st.remoteDone = ended
	st.body.whole = ended
	c.streams[st.id] = st
	c.heads += st.head.size
	c.idle = 0
}

// endBody takes the trailers of a stream; with mu held.
func (c *conn) endBody(b *block) error {
	st := c.streams[b.id]
	if st == nil {
		return nil // ended while the block was on its way
	}
	if b.trailers.fault || st.head.length >= 0 && st.body.received != st.head.length {
		return c.violate(st, frame.ProtocolError)
	}
	c.budget.useful(0)
	st.remoteDone = true
	st.body.finish(b.trailers.list)
	return nil
}

// dependency is the stream that a priority speaks of.
func dependency(p []byte) uint32 {
	return (uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])) & frame.LastStream
}

// unpad takes the padding off a payload (RFC 9113, 6.1).
func unpad(h frame.Header, p []byte) ([]byte, error) {
	if !h.Flags.Has(frame.Padded) {
		return p, nil
	}
	if len(p) == 0 {
		return nil, sizeError("a padded frame without its padding's length")
	}
	n := int(p[0])
	if n > len(p)-1 {
		return nil, protocolError("more padding than payload")
	}
	return p[1 : len(p)-n], nil
}
