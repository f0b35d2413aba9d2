package h2

import (
	"github.com/sallyport/sallyport/internal/door/h2/frame"
)

// read takes the connection from its preface to its last frame. Its error says why
// it ended; it is never nil.
func (c *conn) read() error {
	c.greet()
	if err := c.preface(); err != nil {
		return err
	}
	for {
		h, p, err := c.next()
		if err != nil {
			return err
		}
		if err := c.frame(h, p); err != nil {
			return err
		}
	}
}

// greet sends our settings, before anything is known of the client.
func (c *conn) greet() {
	cfg := &c.s.cfg
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = frame.AppendSettings(c.room(),
		frame.Setting{ID: frame.MaxConcurrentStreams, Value: uint32(cfg.Streams)},
		frame.Setting{ID: frame.InitialWindowSize, Value: uint32(cfg.StreamWindow)},
		frame.Setting{ID: frame.MaxHeaderListSize, Value: uint32(cfg.HeaderBytes + forgiven)})
	if n := cfg.ConnWindow - frame.FirstWindow; n > 0 {
		c.out = frame.AppendWindowUpdate(c.out, 0, n)
	}
	c.kick()
}

// preface reads what every client begins with, and its settings.
func (c *conn) preface() error {
	for {
		b := c.in.unread()
		n := min(len(b), len(frame.Preface))
		if string(b[:n]) != frame.Preface[:n] {
			return protocolError("the client's preface is not HTTP/2's")
		}
		if n == len(frame.Preface) {
			break
		}
		if err := c.in.fill(len(frame.Preface)); err != nil {
			return c.why(err)
		}
	}
	c.in.r += len(frame.Preface)
	h, p, err := c.next()
	if err != nil {
		return err
	}
	if h.Type != frame.Settings || h.Flags.Has(frame.Ack) {
		return protocolError("the preface has no settings")
	}
	c.heading.Store(0)
	return c.frame(h, p)
}

// next gives the next frame. Its payload is valid until the next call.
func (c *conn) next() (frame.Header, []byte, error) {
	need := frame.HeaderLen
	for {
		b := c.in.unread()
		if len(b) >= need {
			h := frame.ParseHeader(b)
			if h.Length > frame.MinMax {
				return h, nil, sizeError("a frame is larger than was allowed")
			}
			if need = frame.HeaderLen + int(h.Length); len(b) >= need {
				c.in.r += need
				return h, b[frame.HeaderLen:need], nil
			}
			if h.Type == frame.Headers && !c.block.open && c.heading.Load() == 0 {
				c.heading.Store(c.s.clock.Load())
			}
		}
		if err := c.await(need); err != nil {
			return frame.Header{}, nil, c.why(err)
		}
	}
}

// await reads more. Before it waits, it hands over what it has kept back.
func (c *conn) await(need int) error {
	switch {
	case !c.in.torn():
		c.handPending()
	case len(c.pending) > 0 && c.heading.Load() == 0: // should it be a wait after all, it has a limit
		c.heading.Store(c.s.clock.Load())
		defer c.heading.Store(0)
	}
	c.mu.Lock()
	c.kick()
	c.mu.Unlock()
	return c.in.fill(need)
}

// why is the reason for a read's failure: that for which the connection was ended
// by others, where it was.
func (c *conn) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != nil {
		return c.ending
	}
	return err
}

// frame takes one frame (RFC 9113, 6). Its error ends the connection.
func (c *conn) frame(h frame.Header, p []byte) error {
	if c.block.open && (h.Type != frame.Continuation || h.Stream != c.block.id) {
		return protocolError("a header block was interrupted")
	}
	switch h.Type {
	case frame.Data:
		return c.takeData(h, p)
	case frame.Headers:
		return c.headers(h, p)
	case frame.Continuation:
		if !c.block.open {
			return protocolError("CONTINUATION behind no header block")
		}
		return c.continuation(h, p)
	case frame.PushPromise:
		return protocolError("a client promised a push")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch h.Type {
	case frame.Priority:
		return c.takePriority(h, p)
	case frame.RSTStream:
		return c.takeReset(h, p)
	case frame.Settings:
		return c.takeSettings(h, p)
	case frame.Ping:
		return c.takePing(h, p)
	case frame.GoAway:
		return c.takeGoAway(h, p)
	case frame.WindowUpdate:
		return c.takeWindowUpdate(h, p)
	}
	return c.idleFrame(1) // an extension's: ignored (RFC 9113, 5.5)
}

// idleFrame counts a frame that brings no request further; with mu held.
func (c *conn) idleFrame(n int) error {
	if !c.budget.idleFrame(int32(n), c.s.clock.Load()) {
		return calm("too many frames that bring no request further")
	}
	if len(c.out) > mostUnread {
		return calm("too many frames whose answers are not read")
	}
	return nil
}

// unopened says whether the client has not opened the stream yet; with mu held.
func (c *conn) unopened(id uint32) bool { return id%2 == 0 || id > c.lastID }

func (c *conn) takeData(h frame.Header, p []byte) error {
	if h.Stream == 0 {
		return protocolError("DATA on stream 0")
	}
	data, err := unpad(h, p)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unopened(h.Stream) {
		if c.final && h.Stream > c.lastID && h.Stream%2 == 1 { // of a stream that we no longer take
			return c.countData(len(p), len(p))
		}
		return protocolError("DATA on a stream that is idle")
	}
	st := c.streams[h.Stream]
	if st == nil {
		return c.lateData(h, len(p))
	}
	if err := c.countData(len(p), len(p)-len(data)); err != nil {
		return err
	}
	ended := h.Flags.Has(frame.EndStream)
	b := &st.body
	b.window -= int64(len(p))
	total := b.received + int64(len(data))
	switch {
	case st.remoteDone:
		c.credit(len(data))
		return c.violate(st, frame.StreamClosed)
	case b.window < 0:
		c.credit(len(data))
		return c.violate(st, frame.FlowControlError)
	case st.head.length >= 0 && (total > st.head.length || ended && total != st.head.length):
		c.credit(len(data))
		return c.violate(st, frame.ProtocolError)
	}
	c.owe(st, len(p)-len(data)) // padding is used up at once
	if len(data) == 0 && !ended {
		return c.idleFrame(1)
	}
	c.budget.useful(len(data))
	b.add(data)
	if ended {
		st.remoteDone = true
		b.finish(nil)
	}
	return nil
}

// countData takes n bytes from the connection's window, of which used have been
// used up already; with mu held.
func (c *conn) countData(n, used int) error {
	if c.window -= int64(n); c.window < 0 {
		return &fault{frame.FlowControlError, "more DATA than the connection's window"}
	}
	c.credit(used)
	return nil
}

// lateData is DATA for a stream that has been closed; with mu held.
func (c *conn) lateData(h frame.Header, n int) error {
	if err := c.countData(n, n); err != nil {
		return err
	}
	if c.closed.get(h.Stream) == byUs { // the client may not know yet; but it will not go on for ever
		if h.Flags.Has(frame.EndStream) {
			c.stopped(h.Stream)
		}
		return c.idleFrame(1)
	}
	c.out = frame.AppendRST(c.room(), h.Stream, frame.StreamClosed)
	c.closed.put(h.Stream, byUs)
	return c.early()
}

// takePriority ignores what RFC 9113 has deprecated, but not its faults.
func (c *conn) takePriority(h frame.Header, p []byte) error {
	switch {
	case h.Stream == 0:
		return protocolError("PRIORITY on stream 0")
	case len(p) != 5:
		return c.streamFault(h.Stream, frame.FrameSizeError)
	case dependency(p) == h.Stream:
		return c.streamFault(h.Stream, frame.ProtocolError)
	}
	return c.idleFrame(1)
}

// streamFault ends a stream, known or not, for a frame that spoke of it.
func (c *conn) streamFault(id uint32, code frame.Code) error {
	if st := c.streams[id]; st != nil {
		return c.violate(st, code)
	}
	if c.unopened(id) { // an idle stream cannot be reset
		return &fault{code, "a faulty frame on a stream that is idle"}
	}
	c.out = frame.AppendRST(c.room(), id, code)
	c.closed.put(id, byUs)
	return c.early()
}

func (c *conn) takeReset(h frame.Header, p []byte) error {
	switch {
	case h.Stream == 0:
		return protocolError("RST_STREAM on stream 0")
	case len(p) != 4:
		return sizeError("RST_STREAM has not four bytes")
	case c.unopened(h.Stream):
		if c.final && h.Stream%2 == 1 {
			return c.idleFrame(1)
		}
		return protocolError("RST_STREAM on a stream that is idle")
	}
	st := c.streams[h.Stream]
	switch {
	case st == nil && c.stopped(h.Stream): // as it should, once it has its answer
		return nil
	case st == nil:
		return c.idleFrame(1)
	}
	c.closed.put(st.id, byPeer)
	early := !st.localDone
	c.kill(st, errGone)
	if early {
		return c.early()
	}
	return nil
}

func (c *conn) takePing(h frame.Header, p []byte) error {
	switch {
	case h.Stream != 0:
		return protocolError("PING on a stream")
	case len(p) != 8:
		return sizeError("PING has not eight bytes")
	case h.Flags.Has(frame.Ack):
		return c.idleFrame(1)
	}
	c.out = frame.AppendPingAck(c.room(), p)
	return c.idleFrame(1)
}

// takeGoAway notes nothing: a client that opens no more streams will close, or idle.
func (c *conn) takeGoAway(h frame.Header, p []byte) error {
	switch {
	case h.Stream != 0:
		return protocolError("GOAWAY on a stream")
	case len(p) < 8:
		return sizeError("GOAWAY is too short")
	}
	return c.idleFrame(1)
}

func (c *conn) takeWindowUpdate(h frame.Header, p []byte) error {
	if len(p) != 4 {
		return sizeError("WINDOW_UPDATE has not four bytes")
	}
	n := int64(dependency(p)) // 31 bits behind a reserved one
	if h.Stream == 0 {
		if c.sendWindow += n; n == 0 {
			return protocolError("WINDOW_UPDATE of nothing")
		} else if c.sendWindow > frame.MaxWindow {
			return &fault{frame.FlowControlError, "the connection's window is too large"}
		}
		c.nudge()
		return c.idleFrame(1)
	}
	if c.unopened(h.Stream) {
		if c.final && h.Stream%2 == 1 {
			return c.idleFrame(1)
		}
		return protocolError("WINDOW_UPDATE on a stream that is idle")
	}
	st := c.streams[h.Stream]
	if st == nil { // it may have crossed our end of the stream
		if n == 0 {
			return c.streamFault(h.Stream, frame.ProtocolError)
		}
		return c.idleFrame(1)
	}
	switch st.sendWindow += n; {
	case n == 0:
		return c.violate(st, frame.ProtocolError)
	case st.sendWindow > frame.MaxWindow:
		return c.violate(st, frame.FlowControlError)
	}
	st.rouse()
	return c.idleFrame(1)
}
