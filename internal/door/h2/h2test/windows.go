package h2test

import "golang.org/x/net/http2"

// window is the setting of the windows that streams begin with.
const window = http2.SettingInitialWindowSize

// update sends WINDOW_UPDATE with the payload as it is.
func update(id uint32, payload ...byte) func(*Client) {
	return func(c *Client) { c.Frame(http2.FrameWindowUpdate, 0, id, payload...) }
}

// silent expects no DATA for as long as a PING takes.
func silent(c *Client) {
	c.T.Helper()
	c.Frame(http2.FramePing, 0, 0, make([]byte, 8)...)
	for e := c.Next(); e.Kind != "pong"; e = c.Next() {
		if e.Kind == "data" || e.Kind == "closed" || e.Kind == "silence" {
			c.T.Fatal(e)
		}
	}
}

// windows are flow control (6.9).
func windows() []rule { return append(updates(), held()...) }

// updates are updates and settings that are taken or refused, and a window that is overrun.
func updates() []rule {
	return []rule{
		{"an update of nothing for the connection", update(0, 0, 0, 0, 0), Dies(http2.ErrCodeProtocol)},
		{"an update of nothing for a stream", func(c *Client) { c.Open(1); update(1, 0, 0, 0, 0)(c) }, Resets(1, http2.ErrCodeProtocol)},
		{"an update too short", update(0, 0, 0, 1), Dies(http2.ErrCodeFrameSize)},
		{"an update too long", update(0, 0, 0, 1, 0, 0), Dies(http2.ErrCodeFrameSize)},
		{"updates are taken", func(c *Client) { c.Open(1); update(0, 0, 0, 0, 1)(c); update(1, 0, 0, 0, 1)(c) }, Serves},
		{"the connection's beyond 2^31-1", func(c *Client) {
			update(0, 0x7f, 0xff, 0xff, 0xff)(c)
			update(0, 0x7f, 0xff, 0xff, 0xff)(c)
		}, Dies(http2.ErrCodeFlowControl)},
		{"a stream's beyond 2^31-1", func(c *Client) {
			c.Open(1)
			update(1, 0x7f, 0xff, 0xff, 0xff)(c)
			update(1, 0x7f, 0xff, 0xff, 0xff)(c)
		}, Resets(1, http2.ErrCodeFlowControl)},
		{"settings that make an open stream's too large", func(c *Client) {
			c.Open(1)
			update(1, 0x7f, 0xff, 0, 0)(c)
			say(http2.Setting{ID: window, Val: 1<<31 - 1})(c)
		}, Dies(http2.ErrCodeFlowControl)},
		{"the server's of a stream, sent beyond", func(c *Client) {
			c.Until("the settings", func(e Event) bool { return e.Kind == "settings" })
			c.Open(1)
			for n := int(c.Settings[window]); n >= 0; n -= 16384 {
				c.Frame(http2.FrameData, 0, 1, make([]byte, 16384)...)
			}
			c.Frame(http2.FrameData, 0, 1, make([]byte, 16384)...)
		}, func(c *Client) { // the server may have given more bytes meanwhile
			c.Frame(http2.FrameData, EndStream, 1)
			e := c.Until("an answer or an end", func(e Event) bool { return e.Stream == 1 && (e.Kind == "headers" || e.Kind == "rst") })
			if e.Kind == "rst" && e.Code != http2.ErrCodeFlowControl {
				c.T.Error(e)
			}
		}},
	}
}

// held are answers that a window holds up. An answer is four bytes long.
func held() []rule {
	return []rule{
		{"one of one byte", func(c *Client) {
			say(http2.Setting{ID: window, Val: 1})(c)
			c.Request(1, true, Get...)
		}, pieces("g")},
		{"one of nothing, and then more", func(c *Client) {
			c.HalfClosed(1)
			c.Until("the head", func(e Event) bool { return e.Kind == "headers" })
			silent(c)
			update(1, 0, 0, 0, 1)(c)
		}, pieces("g")},
		{"settings make those of open streams larger", func(c *Client) {
			c.HalfClosed(1)
			c.Until("the head", func(e Event) bool { return e.Kind == "headers" })
			silent(c)
			say(http2.Setting{ID: window, Val: 2})(c)
		}, pieces("go")},
		{"one that shrinks below nothing, and grows again", func(c *Client) {
			say(http2.Setting{ID: window, Val: 3})(c)
			c.Request(1, true, Get...)
			pieces("got")(c)
			say(http2.Setting{ID: window, Val: 0})(c) // now it is -3
			update(1, 0, 0, 0, 3)(c)                  // 0
			silent(c)
			say(http2.Setting{ID: window, Val: 1})(c)
		}, func(c *Client) {
			if e := c.Until("the last byte", func(e Event) bool { return e.Kind == "data" }); e.Data != " " || !e.End {
				c.T.Error(e)
			}
		}},
	}
}
