package h2test

import (
	"strings"

	"golang.org/x/net/http2"
)

func data() []rule {
	return []rule{
		{"DATA on stream 0", func(c *Client) { c.Frame(http2.FrameData, EndStream, 0, 'x') }, Dies(http2.ErrCodeProtocol)},
		{"DATA in one frame", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream, 1, 'x') }, Echoes(1, "x")},
		{"DATA in many frames", func(c *Client) {
			c.Open(1)
			c.Frame(http2.FrameData, 0, 1, 'x')
			c.Frame(http2.FrameData, 0, 1)
			c.Frame(http2.FrameData, EndStream, 1, 'y')
		}, Echoes(1, "xy")},
		{"an empty end", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream, 1) }, Echoes(1, "")},
		{"padding", func(c *Client) {
			c.Open(1, "content-length", "2")
			c.Frame(http2.FrameData, EndStream|padded, 1, 3, 'h', 'i', 0, 0, 0)
		}, Echoes(1, "hi")},
		{"padding of no length", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream|padded, 1, 0, 'h', 'i') }, Echoes(1, "hi")},
		{"padding alone", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream|padded, 1, 2, 0, 0) }, Echoes(1, "")},
		{"more padding than payload", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream|padded, 1, 6, 'h', 'i') }, Dies(http2.ErrCodeProtocol)},
		{"padding as long as the payload with its length", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream|padded, 1, 3, 'h', 'i') }, Dies(http2.ErrCodeProtocol)},
		{"no length of the padding", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream|padded, 1) }, Dies(http2.ErrCodeFrameSize)},
	}
}

func headers() []rule {
	send := func(flags http2.Flags, before []byte, after ...byte) func(*Client) {
		return func(c *Client) {
			c.Frame(http2.FrameHeaders, EndStream|EndHeaders|flags, 1, append(append(before[:len(before):len(before)], c.Block(Get...)...), after...)...)
		}
	}
	return []rule{
		{"a whole head", send(0, nil), Echoes(1, "")},
		{"padding", send(padded, []byte{2}, 0, 0), Echoes(1, "")},
		{"a priority", send(priority, []byte{0, 0, 0, 0, 255}), Echoes(1, "")},
		{"padding and a priority", send(padded|priority, []byte{2, 0x80, 0, 0, 0, 200}, 0, 0), Echoes(1, "")},
		{"HEADERS on stream 0", func(c *Client) { c.Request(0, true, Get...) }, Dies(http2.ErrCodeProtocol)},
		{"more padding than payload", func(c *Client) { c.Frame(http2.FrameHeaders, EndStream|EndHeaders|padded, 1, 9, 0x82) }, Dies(http2.ErrCodeProtocol)},
		{"no length of the padding", func(c *Client) { c.Frame(http2.FrameHeaders, EndStream|EndHeaders|padded, 1) }, Dies(http2.ErrCodeFrameSize)},
		{"too short for its priority", func(c *Client) { c.Frame(http2.FrameHeaders, EndStream|EndHeaders|priority, 1, 0, 0) }, Dies(http2.ErrCodeFrameSize)},
		{"an empty block", func(c *Client) { c.Frame(http2.FrameHeaders, EndStream|EndHeaders, 1) }, Malformed},
	}
}

// control are the frames that carry nothing of a message (6.3 to 6.9).
func control() []rule {
	frame := func(kind http2.FrameType, flags http2.Flags, id uint32, payload ...byte) func(*Client) {
		return func(c *Client) { c.Frame(kind, flags, id, payload...) }
	}
	opened := func(kind http2.FrameType, flags http2.Flags, payload ...byte) func(*Client) {
		return func(c *Client) { c.Open(1); c.Frame(kind, flags, 1, payload...) }
	}
	return []rule{
		{"PRIORITY on stream 0", frame(http2.FramePriority, 0, 0, 0, 0, 0, 0, 1), Dies(http2.ErrCodeProtocol)},
		{"PRIORITY too short", opened(http2.FramePriority, 0, 0, 0, 0, 0), Resets(1, http2.ErrCodeFrameSize)},
		{"PRIORITY too long", opened(http2.FramePriority, 0, 0, 0, 0, 0, 1, 1), Resets(1, http2.ErrCodeFrameSize)},
		{"RST_STREAM on stream 0", frame(http2.FrameRSTStream, 0, 0, 0, 0, 0, 8), Dies(http2.ErrCodeProtocol)},
		{"RST_STREAM too short", opened(http2.FrameRSTStream, 0, 0, 0, 0), Dies(http2.ErrCodeFrameSize)},
		{"RST_STREAM too long", opened(http2.FrameRSTStream, 0, 0, 0, 0, 0, 8), Dies(http2.ErrCodeFrameSize)},
		{"RST_STREAM of an unknown code", opened(http2.FrameRSTStream, 0, 0, 0, 0, 99), Serves},
		{"PUSH_PROMISE from a client", opened(http2.FramePushPromise, EndHeaders, 0, 0, 0, 2, 0x82), Dies(http2.ErrCodeProtocol)},
		{"PUSH_PROMISE on stream 0", frame(http2.FramePushPromise, EndHeaders, 0, 0, 0, 0, 2, 0x82), Dies(http2.ErrCodeProtocol)},
		{"PING is answered with its payload", frame(http2.FramePing, 0, 0, []byte("h2 door!")...), Pongs("h2 door!")},
		{"PING that answers is not answered", func(c *Client) {
			c.Frame(http2.FramePing, http2.FlagPingAck, 0, []byte("ignored!")...)
			c.Frame(http2.FramePing, 0, 0, []byte("answered")...)
		}, func(c *Client) {
			if e := c.Until("PING", func(e Event) bool { return e.Kind == "pong" }); e.Data != "answered" {
				c.T.Error(e)
			}
		}},
		{"PING on a stream", frame(http2.FramePing, 0, 1, make([]byte, 8)...), Dies(http2.ErrCodeProtocol)},
		{"PING too short", frame(http2.FramePing, 0, 0, make([]byte, 6)...), Dies(http2.ErrCodeFrameSize)},
		{"PING too long", frame(http2.FramePing, 0, 0, make([]byte, 9)...), Dies(http2.ErrCodeFrameSize)},
		{"GOAWAY on a stream", frame(http2.FrameGoAway, 0, 1, make([]byte, 8)...), Dies(http2.ErrCodeProtocol)},
		{"GOAWAY too short", frame(http2.FrameGoAway, 0, 0, make([]byte, 7)...), Dies(http2.ErrCodeFrameSize)},
		{"GOAWAY of an unknown code", frame(http2.FrameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99), Serves},
		{"GOAWAY leaves what is open", func(c *Client) {
			c.Open(1)
			c.Frame(http2.FrameGoAway, 0, 0, make([]byte, 8)...)
			c.Frame(http2.FrameData, EndStream, 1, 'x')
		}, Echoes(1, "x")},
	}
}

// continuations are header blocks in more than one frame (6.10).
func continuations() []rule {
	half := func(c *Client) { c.Frame(http2.FrameHeaders, EndStream, 1, c.Block(Get...)...) }
	more := func(c *Client) { c.Frame(http2.FrameContinuation, EndHeaders, 1) }
	return []rule{
		{"an empty one ends the block", func(c *Client) { half(c); more(c) }, Echoes(1, "")},
		{"several", func(c *Client) {
			p := c.Block(With(Get, "x-long", strings.Repeat("x", 100))...)
			c.Frame(http2.FrameHeaders, EndStream, 1, p[:1]...)
			c.Frame(http2.FrameContinuation, 0, 1, p[1:9]...)
			c.Frame(http2.FrameContinuation, 0, 1)
			c.Frame(http2.FrameContinuation, EndHeaders, 1, p[9:]...)
		}, Echoes(1, "")},
		{"behind a block that has ended", func(c *Client) { c.Request(1, true, Get...); more(c) }, Dies(http2.ErrCodeProtocol)},
		{"behind one that has ended the block", func(c *Client) { half(c); more(c); more(c) }, Dies(http2.ErrCodeProtocol)},
		{"on stream 0", func(c *Client) { half(c); c.Frame(http2.FrameContinuation, EndHeaders, 0) }, Dies(http2.ErrCodeProtocol)},
		{"on another stream", func(c *Client) { half(c); c.Frame(http2.FrameContinuation, EndHeaders, 3) }, Dies(http2.ErrCodeProtocol)},
		{"behind DATA", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, 0, 1, 'x'); more(c) }, Dies(http2.ErrCodeProtocol)},
		{"DATA in its place", func(c *Client) {
			c.Frame(http2.FrameHeaders, 0, 1, c.Block(Post...)...)
			c.Frame(http2.FrameData, EndStream, 1, 'x')
		}, Dies(http2.ErrCodeProtocol)},
	}
}
