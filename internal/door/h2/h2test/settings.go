package h2test

import "golang.org/x/net/http2"

// say sends settings in one frame.
func say(list ...http2.Setting) func(*Client) {
	return func(c *Client) { c.T.Helper(); c.Must(c.Fr.WriteSettings(list...)) }
}

func settings() []rule {
	const window = http2.SettingInitialWindowSize
	frame := func(flags http2.Flags, id uint32, payload ...byte) func(*Client) {
		return func(c *Client) { c.Frame(http2.FrameSettings, flags, id, payload...) }
	}
	return []rule{
		{"they are acknowledged", say(http2.Setting{ID: window, Val: 100}), func(c *Client) {
			for range 2 { // the preface's and these
				c.Until("an acknowledgement", func(e Event) bool { return e.Kind == "ack" })
			}
		}},
		{"an acknowledgement with a payload", frame(http2.FlagSettingsAck, 0, setting(window, 100)...), Dies(http2.ErrCodeFrameSize)},
		{"an acknowledgement is not answered", frame(http2.FlagSettingsAck, 0), Serves},
		{"on a stream", frame(0, 1, setting(window, 100)...), Dies(http2.ErrCodeProtocol)},
		{"not whole", frame(0, 0, 0, 4, 0), Dies(http2.ErrCodeFrameSize)},
		{"ENABLE_PUSH 2", say(http2.Setting{ID: http2.SettingEnablePush, Val: 2}), Dies(http2.ErrCodeProtocol)},
		{"ENABLE_PUSH 0 and 1", say(http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingEnablePush, Val: 1}), Serves},
		{"INITIAL_WINDOW_SIZE 2^31", say(http2.Setting{ID: window, Val: 1 << 31}), Dies(http2.ErrCodeFlowControl)},
		{"MAX_FRAME_SIZE 16383", say(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16383}), Dies(http2.ErrCodeProtocol)},
		{"MAX_FRAME_SIZE 2^24", say(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 24}), Dies(http2.ErrCodeProtocol)},
		{"MAX_FRAME_SIZE 2^24-1", say(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<24 - 1}), Serves},
		{"NO_RFC7540_PRIORITIES 2", say(http2.Setting{ID: 9, Val: 2}), Dies(http2.ErrCodeProtocol)},
		{"an unknown setting", say(http2.Setting{ID: 0xfff, Val: 7}), Serves},
		{"of one twice, the last counts", func(c *Client) {
			say(http2.Setting{ID: window, Val: 100}, http2.Setting{ID: window, Val: 1})(c)
			c.Request(1, true, Get...)
		}, pieces("g")},
		{"HEADER_TABLE_SIZE 0 and again 4096", say(http2.Setting{ID: http2.SettingHeaderTableSize}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096}), func(c *Client) {
			for i := range uint32(5) {
				c.Good(1 + 2*i)
			}
		}},
	}
}

// pieces expects those DATA frames of an answer, of which none is the last.
func pieces(want ...string) Verdict {
	return func(c *Client) {
		c.T.Helper()
		for _, w := range want {
			if e := c.Until("DATA", func(e Event) bool { return e.Kind == "data" }); e.Data != w || e.End {
				c.T.Errorf("%v, want %q", e, w)
			}
		}
	}
}

// windows are flow control (6.9). An answer is four bytes long.
func windows() []rule {
	const most = http2.SettingInitialWindowSize
	update := func(id uint32, payload ...byte) func(*Client) {
		return func(c *Client) { c.Frame(http2.FrameWindowUpdate, 0, id, payload...) }
	}
	silent := func(c *Client) {
		c.T.Helper()
		c.Frame(http2.FramePing, 0, 0, make([]byte, 8)...)
		for e := c.Next(); e.Kind != "pong"; e = c.Next() {
			if e.Kind == "data" || e.Kind == "closed" || e.Kind == "silence" {
				c.T.Fatal(e)
			}
		}
	}
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
			say(http2.Setting{ID: most, Val: 1<<31 - 1})(c)
		}, Dies(http2.ErrCodeFlowControl)},
		{"one of one byte", func(c *Client) {
			say(http2.Setting{ID: most, Val: 1})(c)
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
			say(http2.Setting{ID: most, Val: 2})(c)
		}, pieces("go")},
		{"one that shrinks below nothing, and grows again", func(c *Client) {
			say(http2.Setting{ID: most, Val: 3})(c)
			c.Request(1, true, Get...)
			pieces("got")(c)
			say(http2.Setting{ID: most, Val: 0})(c) // now it is -3
			update(1, 0, 0, 0, 3)(c)                // 0
			silent(c)
			say(http2.Setting{ID: most, Val: 1})(c)
		}, func(c *Client) {
			if e := c.Until("the last byte", func(e Event) bool { return e.Kind == "data" }); e.Data != " " || !e.End {
				c.T.Error(e)
			}
		}},
		{"the server's of a stream, sent beyond", func(c *Client) {
			c.Until("the settings", func(e Event) bool { return e.Kind == "settings" })
			c.Open(1)
			for n := int(c.Settings[most]); n >= 0; n -= 16384 {
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
