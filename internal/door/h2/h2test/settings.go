package h2test

import "golang.org/x/net/http2"

// say sends settings in one frame.
func say(list ...http2.Setting) func(*Client) {
	return func(c *Client) { c.T.Helper(); c.Must(c.Fr.WriteSettings(list...)) }
}

func settings() []rule {
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
