package h2test

import (
	"io"

	"golang.org/x/net/http2"
)

// prefaces are what a connection begins with (3.4).
func prefaces() []Case {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	say := func(s string) func(*Client) { return func(c *Client) { _, _ = io.WriteString(c.NC, s) } }
	list := under("RFC 9113, 3.4", []rule{
		{"the preface and settings", say(http2.ClientPreface + settings), Serves},
		{"the server's preface is its settings", say(http2.ClientPreface + settings), func(c *Client) {
			if e := c.Next(); e.Kind != "settings" {
				c.T.Errorf("it begins with %v", e)
			}
		}},
		{"a byte at a time", func(c *Client) {
			for i := range len(http2.ClientPreface + settings) {
				say((http2.ClientPreface + settings)[i : i+1])(c)
			}
		}, Serves},
		{"another protocol", say("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Dies(http2.ErrCodeProtocol)},
		{"a wrong last byte", say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r!"), Dies(http2.ErrCodeProtocol)},
		{"a preface with fields", say("PRI * HTTP/2.0\r\nHost: x\r\n\r\n"), Dies(http2.ErrCodeProtocol)},
		{"no settings", say(http2.ClientPreface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"), Dies(http2.ErrCodeProtocol)},
		{"an acknowledgement for settings", say(http2.ClientPreface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"), Dies(http2.ErrCodeProtocol)},
		{"a head in place of the settings", say(http2.ClientPreface + "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x82"), Dies(http2.ErrCodeProtocol)},
		{"the preface twice", say(http2.ClientPreface + settings + http2.ClientPreface), Dies(http2.ErrCodeProtocol, http2.ErrCodeFrameSize)},
	})
	for i := range list {
		list[i].Bare = true
	}
	return list
}

// framing is how any frame is read (4).
func framing() []rule {
	half := func(c *Client) { c.Frame(http2.FrameHeaders, EndStream, 1, c.Block(Get...)...) }
	return []rule{
		{"an unknown frame type is ignored", func(c *Client) { c.Frame(0x16, 0, 0, 0, 0, 0, 0) }, Serves},
		{"an unknown frame type on a stream is ignored", func(c *Client) { c.Frame(0xf0, 0xff, 77, 1) }, Serves},
		{"unknown flags are ignored", func(c *Client) { c.Frame(http2.FramePing, 0x16, 0, []byte("12345678")...) }, Pongs("12345678")},
		{"the reserved bit is ignored", func(c *Client) { c.Frame(http2.FramePing, 0, 1<<31, []byte("abcdefgh")...) }, Pongs("abcdefgh")},
		{"DATA of the largest size is taken", func(c *Client) {
			c.Open(1)
			c.Frame(http2.FrameData, EndStream, 1, make([]byte, 16384)...)
		}, Answers(1, 200)},
		{"DATA beyond the largest size", func(c *Client) {
			c.Open(1)
			c.Frame(http2.FrameData, EndStream, 1, make([]byte, 16385)...)
		}, Dies(http2.ErrCodeFrameSize)},
		{"HEADERS beyond the largest size", func(c *Client) {
			c.Frame(http2.FrameHeaders, EndStream|EndHeaders, 1, make([]byte, 16385)...)
		}, Dies(http2.ErrCodeFrameSize)},
		{"any frame beyond the largest size", func(c *Client) { c.Frame(0x20, 0, 0, make([]byte, 16385)...) }, Dies(http2.ErrCodeFrameSize)},
		{"a header block that cannot be decoded", func(c *Client) { c.Frame(http2.FrameHeaders, EndStream|EndHeaders, 1, 0x40) }, Dies(http2.ErrCodeCompression)},
		{"PRIORITY within a header block", func(c *Client) {
			half(c)
			c.Frame(http2.FramePriority, 0, 1, 0, 0, 0, 0, 1)
		}, Dies(http2.ErrCodeProtocol)},
		{"HEADERS of another stream within a header block", func(c *Client) { half(c); c.Request(3, true, Get...) }, Dies(http2.ErrCodeProtocol)},
		{"HEADERS of the same stream within a header block", func(c *Client) { half(c); c.Request(1, true, Get...) }, Dies(http2.ErrCodeProtocol)},
		{"an unknown frame within a header block", func(c *Client) { half(c); c.Frame(0x16, 0, 0, 0) }, Dies(http2.ErrCodeProtocol)},
		{"PING within a header block", func(c *Client) { half(c); c.Frame(http2.FramePing, 0, 0, make([]byte, 8)...) }, Dies(http2.ErrCodeProtocol)},
		{"SETTINGS within a header block", func(c *Client) { half(c); c.Frame(http2.FrameSettings, 0, 0) }, Dies(http2.ErrCodeProtocol)},
	}
}

// states are those of streams (5.1).
func states() []rule {
	data := func(c *Client) { c.Frame(http2.FrameData, EndStream, 1, 'x') }
	end := func(c *Client) { c.Frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8) }
	window := func(c *Client) { c.Frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 8) }
	priority := func(c *Client) { c.Frame(http2.FramePriority, 0, 1, 0, 0, 0, 0, 9) }
	head := func(c *Client) { c.Request(1, true, Get...) }
	more := func(c *Client) { c.Frame(http2.FrameContinuation, EndHeaders, 1, c.Block(Get...)...) }
	after := func(first func(*Client, uint32), then ...func(*Client)) func(*Client) {
		return func(c *Client) {
			first(c, 1)
			for _, do := range then {
				do(c)
			}
		}
	}
	half, reset, finished := (*Client).HalfClosed, (*Client).Reset, (*Client).Finished
	return []rule{
		{"idle: DATA", data, Dies(http2.ErrCodeProtocol)},
		{"idle: RST_STREAM", end, Dies(http2.ErrCodeProtocol)},
		{"idle: WINDOW_UPDATE", window, Dies(http2.ErrCodeProtocol)},
		{"idle: CONTINUATION", more, Dies(http2.ErrCodeProtocol)},
		{"idle: PRIORITY is ignored", priority, Serves},
		{"half closed: DATA", after(half, data), Resets(1, http2.ErrCodeStreamClosed)},
		{"half closed: HEADERS", after(half, head), Resets(1, http2.ErrCodeStreamClosed)},
		{"half closed: CONTINUATION", after(half, more), Dies(http2.ErrCodeProtocol)},
		{"half closed: WINDOW_UPDATE is taken", after(half, window), Echoes(1, "")},
		{"half closed: PRIORITY is ignored", after(half, priority, window), Echoes(1, "")},
		{"half closed: RST_STREAM", after(half, end), Serves},
		{"closed by RST_STREAM: DATA", after(reset, data), Resets(1, http2.ErrCodeStreamClosed)},
		{"closed by RST_STREAM: HEADERS", after(reset, head), Resets(1, http2.ErrCodeStreamClosed)},
		{"closed by RST_STREAM: CONTINUATION", after(reset, more), Dies(http2.ErrCodeProtocol)},
		{"closed by RST_STREAM: RST_STREAM, WINDOW_UPDATE, PRIORITY", after(reset, end, window, priority), Serves},
		{"closed: DATA", after(finished, data), Resets(1, http2.ErrCodeStreamClosed)},
		{"closed: HEADERS", after(finished, head), Dies(http2.ErrCodeStreamClosed)},
		{"closed: CONTINUATION", after(finished, more), Dies(http2.ErrCodeProtocol)},
		{"closed: WINDOW_UPDATE, PRIORITY and RST_STREAM are ignored", after(finished, window, priority, end), Serves},
	}
}

// streams are their ids, their number and what they depend on (5.1.1 to 5.5).
func streams() []rule {
	depend := func(id, on uint32, weight uint8) func(*Client) {
		return func(c *Client) { c.Must(c.Fr.WritePriority(id, http2.PriorityParam{StreamDep: on, Weight: weight})) }
	}
	return []rule{
		{"a stream of an even id", func(c *Client) { c.Request(2, true, Get...) }, Dies(http2.ErrCodeProtocol)},
		{"a stream below the last", func(c *Client) { c.Request(5, true, Get...); c.Request(3, true, Get...) }, Dies(http2.ErrCodeProtocol)},
		{"a stream more than was allowed", tooMany, refusedOne},
		{"a stream that depends on itself", func(c *Client) {
			c.Must(c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.Block(Get...), EndStream: true, EndHeaders: true,
				Priority: http2.PriorityParam{StreamDep: 1, Weight: 1}}))
		}, Resets(1, http2.ErrCodeProtocol)},
		{"PRIORITY that makes an idle stream depend on itself", depend(1, 1, 9), Dies(http2.ErrCodeProtocol)},
		{"PRIORITY that makes an open stream depend on itself", func(c *Client) { c.Open(1); depend(1, 1, 9)(c) }, Resets(1, http2.ErrCodeProtocol)},
		{"PRIORITY of the least weight", depend(1, 0, 0), Serves},
		{"PRIORITY of the greatest weight", depend(1, 0, 255), Serves},
		{"PRIORITY on a stream there is not", depend(1, 77, 9), Serves},
		{"PRIORITY that is exclusive", func(c *Client) { c.Frame(http2.FramePriority, 0, 3, 0x80, 0, 0, 1, 9) }, Serves},
		{"PRIORITY of a stream above a head that follows", func(c *Client) { depend(9, 0, 9)(c); c.Request(1, true, Get...) }, Answers(1, 200)},
		{"a fault that ends the connection", func(c *Client) { c.Frame(http2.FramePing, 0, 3, make([]byte, 8)...) }, Dies(http2.ErrCodeProtocol)},
		{"a stream's fault leaves the others", func(c *Client) {
			c.Open(1)
			c.Open(3)
			c.Frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 0)
			c.Frame(http2.FrameData, EndStream, 3, 'x')
		}, Echoes(3, "x")},
	}
}

// tooMany opens as many streams as the server allows, and one.
func tooMany(c *Client) {
	c.Until("the settings", func(e Event) bool { return e.Kind == "settings" })
	n := c.Settings[http2.SettingMaxConcurrentStreams]
	if n == 0 || n > 400 {
		c.T.Fatalf("%d streams are allowed", n)
	}
	for i := range n + 1 {
		c.Open(2*i + 1)
	}
}

func refusedOne(c *Client) {
	e := c.Until("RST_STREAM", func(e Event) bool { return e.Kind == "rst" })
	if e.Stream != 2*c.Settings[http2.SettingMaxConcurrentStreams]+1 || e.Code != http2.ErrCodeRefusedStream {
		c.T.Error(e)
	}
	c.Frame(http2.FrameData, EndStream, 1, 'x')
	Echoes(1, "x")(c)
}
