package h2

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// verdict is what must follow.
type verdict func(c *raw)

// dies expects GOAWAY with one of the codes, and the end of the connection.
func dies(codes ...http2.ErrCode) verdict {
	return func(c *raw) {
		c.t.Helper()
		e := c.until("GOAWAY", func(e event) bool { return e.kind == "goaway" })
		if !slices.Contains(codes, e.code) {
			c.t.Errorf("GOAWAY %v (%s), want %v", e.code, e.data, codes)
		}
		c.until("the end", func(e event) bool { return e.kind == "closed" })
	}
}

// resets expects RST_STREAM on the stream, and that the connection serves on.
func resets(id uint32, codes ...http2.ErrCode) verdict {
	return func(c *raw) {
		c.t.Helper()
		e := c.until("RST_STREAM", func(e event) bool { return e.kind == "rst" && e.stream == id })
		if !slices.Contains(codes, e.code) {
			c.t.Errorf("RST_STREAM %v, want %v", e.code, codes)
		}
		c.good(1001)
	}
}

// answers expects an answer of that status on the stream.
func answers(id uint32, status int) verdict {
	return func(c *raw) {
		c.t.Helper()
		fields, _, _ := c.answer(id)
		if !strings.HasPrefix(fields, fmt.Sprintf(":status: %d\n", status)) {
			c.t.Errorf("stream %d: %s", id, fields)
		}
	}
}

// serves expects that nothing has happened to the connection.
func serves(c *raw) { c.t.Helper(); c.good(1001) }

func pongs(data string) verdict {
	return func(c *raw) {
		c.t.Helper()
		c.until("the answer to PING", func(e event) bool { return e.kind == "pong" && e.data == data })
	}
}

// rule is one case: what a client does behind its preface, and what must follow.
type rule struct {
	name string
	do   func(c *raw)
	then verdict
}

func check(t *testing.T, rules []rule) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte("got "), body...))
	})
	g := start(t, b.URL, false)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			c := g.dialAs(t)
			c.hello()
			r.do(c)
			r.then(c)
		})
	}
}

// frame writes any frame.
func (c *raw) frame(kind http2.FrameType, flags http2.Flags, id uint32, payload ...byte) {
	c.t.Helper()
	c.must(c.fr.WriteRawFrame(kind, flags, id, payload))
}

const (
	endStream  = http2.FlagDataEndStream
	endHeaders = http2.FlagHeadersEndHeaders
	padded     = http2.FlagDataPadded
	priority   = http2.FlagHeadersPriority
)

var post = []string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "x"}

// open sends a head whose body is still to come.
func (c *raw) open(id uint32, more ...string) { c.request(id, false, with(post, more...)...) }

// finished has a whole exchange behind it.
func (c *raw) finished(id uint32) {
	c.request(id, true, get...)
	c.answer(id)
}

func TestFramesAreReadAsRFC9113Section4Says(t *testing.T) {
	check(t, []rule{
		{"an unknown frame type is ignored", func(c *raw) { c.frame(0x16, 0, 0, 0, 0, 0, 0) }, serves},
		{"an unknown frame type on a stream is ignored", func(c *raw) { c.frame(0xf0, 0xff, 77, 1) }, serves},
		{"unknown flags are ignored", func(c *raw) { c.frame(http2.FramePing, 0x16, 0, []byte("12345678")...) }, pongs("12345678")},
		{"the reserved bit is ignored", func(c *raw) { c.frame(http2.FramePing, 0, 1<<31, []byte("abcdefgh")...) }, pongs("abcdefgh")},
		{"DATA of the largest size is taken", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameData, endStream, 1, make([]byte, 16384)...)
		}, answers(1, 200)},
		{"DATA beyond the largest size", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameData, endStream, 1, make([]byte, 16385)...)
		}, dies(http2.ErrCodeFrameSize)},
		{"HEADERS beyond the largest size", func(c *raw) {
			c.frame(http2.FrameHeaders, endStream|endHeaders, 1, make([]byte, 16385)...)
		}, dies(http2.ErrCodeFrameSize)},
		{"any frame beyond the largest size", func(c *raw) { c.frame(0x20, 0, 0, make([]byte, 16385)...) }, dies(http2.ErrCodeFrameSize)},
		{"a header block that cannot be decoded", func(c *raw) { c.frame(http2.FrameHeaders, endStream|endHeaders, 1, 0x40) }, dies(http2.ErrCodeCompression)},
		{"PRIORITY within a header block", func(c *raw) {
			c.frame(http2.FrameHeaders, endStream, 1, c.block(get...)...)
			c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 0, 1)
		}, dies(http2.ErrCodeProtocol)},
		{"HEADERS of another stream within a header block", func(c *raw) {
			c.frame(http2.FrameHeaders, endStream, 1, c.block(get...)...)
			c.request(3, true, get...)
		}, dies(http2.ErrCodeProtocol)},
		{"an unknown frame within a header block", func(c *raw) {
			c.frame(http2.FrameHeaders, endStream, 1, c.block(get...)...)
			c.frame(0x16, 0, 0, 0)
		}, dies(http2.ErrCodeProtocol)},
		{"PING within a header block", func(c *raw) {
			c.frame(http2.FrameHeaders, endStream, 1, c.block(get...)...)
			c.frame(http2.FramePing, 0, 0, make([]byte, 8)...)
		}, dies(http2.ErrCodeProtocol)},
	})
}

func TestThePrefaceIsWhatRFC9113Section3Says(t *testing.T) {
	b := newBackend(t, echo)
	g := start(t, b.URL, false)
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, sent := range map[string]string{
		"another protocol":                 "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"a wrong last byte":                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r!",
		"no settings":                      http2.ClientPreface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
		"an acknowledgement for settings":  http2.ClientPreface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
		"the preface twice":                http2.ClientPreface + settings + http2.ClientPreface,
		"a head in place of the settings":  http2.ClientPreface + "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x82",
		"HTTP/2.0 with a body, as h2c has": "PRI * HTTP/2.0\r\nHost: x\r\n\r\n",
	} {
		c := g.dialSilent()
		_, _ = io.WriteString(c.nc, sent)
		e := c.until(name, func(e event) bool { return e.kind == "goaway" })
		if e.code != http2.ErrCodeProtocol && e.code != http2.ErrCodeFrameSize {
			t.Errorf("%s: %v", name, e)
		}
		c.until(name+": the end", func(e event) bool { return e.kind == "closed" })
	}
	c := g.dialSilent() // a byte at a time
	for i := range len(http2.ClientPreface + settings) {
		_, _ = io.WriteString(c.nc, (http2.ClientPreface + settings)[i:i+1])
	}
	c.good(1)
	if e := g.dialSilent().next(); e.kind != "settings" {
		t.Errorf("the server begins with %v", e)
	}
}

func TestStreamsHaveTheStatesOfRFC9113Section5(t *testing.T) {
	check(t, []rule{
		{"idle: DATA", func(c *raw) { c.frame(http2.FrameData, endStream, 1, 'x') }, dies(http2.ErrCodeProtocol)},
		{"idle: RST_STREAM", func(c *raw) { c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8) }, dies(http2.ErrCodeProtocol)},
		{"idle: WINDOW_UPDATE", func(c *raw) { c.frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 8) }, dies(http2.ErrCodeProtocol)},
		{"idle: CONTINUATION", func(c *raw) { c.frame(http2.FrameContinuation, endHeaders, 1, c.block(get...)...) }, dies(http2.ErrCodeProtocol)},
		{"idle: PRIORITY is ignored", func(c *raw) { c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 0, 9) }, serves},
		{"half closed: DATA", func(c *raw) {
			c.request(1, true, with(get, "x-slow", "1")...)
			c.frame(http2.FrameData, endStream, 1, 'x')
		}, func(c *raw) {
			c.until("STREAM_CLOSED", func(e event) bool {
				return (e.kind == "rst" || e.kind == "goaway") && e.code == http2.ErrCodeStreamClosed
			})
		}},
		{"half closed: WINDOW_UPDATE and PRIORITY", func(c *raw) {
			c.request(1, true, get...)
			c.frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 8)
			c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 0, 9)
		}, answers(1, 200)},
		{"half closed: RST_STREAM", func(c *raw) {
			c.request(1, true, get...)
			c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8)
		}, serves},
		{"closed by RST_STREAM: DATA", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8)
			c.frame(http2.FrameData, endStream, 1, 'x')
		}, resets(1, http2.ErrCodeStreamClosed)},
		{"closed by RST_STREAM: HEADERS", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8)
			c.request(1, true, "x", "y")
		}, resets(1, http2.ErrCodeStreamClosed)},
		{"closed by RST_STREAM: CONTINUATION", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8)
			c.frame(http2.FrameContinuation, endHeaders, 1)
		}, dies(http2.ErrCodeProtocol)},
		{"closed by RST_STREAM: RST_STREAM, WINDOW_UPDATE, PRIORITY", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8)
			c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8)
			c.frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 8)
			c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 0, 9)
		}, serves},
		{"ended: DATA", func(c *raw) { c.finished(1); c.frame(http2.FrameData, endStream, 1, 'x') }, resets(1, http2.ErrCodeStreamClosed)},
		{"ended: HEADERS", func(c *raw) { c.finished(1); c.request(1, true, get...) }, dies(http2.ErrCodeStreamClosed)},
		{"ended: CONTINUATION", func(c *raw) { c.finished(1); c.frame(http2.FrameContinuation, endHeaders, 1) }, dies(http2.ErrCodeProtocol)},
		{"ended: WINDOW_UPDATE, PRIORITY and RST_STREAM are ignored", func(c *raw) {
			c.finished(1)
			c.frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 8)
			c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 0, 9)
			c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 0)
		}, serves},
		{"a stream of an even id", func(c *raw) { c.request(2, true, get...) }, dies(http2.ErrCodeProtocol)},
		{"a stream below the last", func(c *raw) { c.request(5, true, get...); c.request(3, true, get...) }, dies(http2.ErrCodeProtocol)},
		{"a stream that depends on itself", func(c *raw) {
			c.must(c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block(get...), EndStream: true, EndHeaders: true,
				Priority: http2.PriorityParam{StreamDep: 1, Weight: 1}}))
		}, resets(1, http2.ErrCodeProtocol)},
		{"PRIORITY that makes an idle stream depend on itself", func(c *raw) { c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 1, 9) }, dies(http2.ErrCodeProtocol)},
		{"PRIORITY that makes an open stream depend on itself", func(c *raw) {
			c.open(1)
			c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 1, 9)
		}, resets(1, http2.ErrCodeProtocol)},
		{"PRIORITY of a stream above a head that follows", func(c *raw) {
			c.frame(http2.FramePriority, 0, 9, 0, 0, 0, 0, 9)
			c.request(1, true, get...)
		}, answers(1, 200)},
	})
}

func TestStreamsBeyondTheLimitAreRefused(t *testing.T) {
	gate := make(chan struct{})
	b := newBackend(t, func(http.ResponseWriter, *http.Request) { <-gate })
	g := start(t, b.URL, false, limits(func(c *Config) { c.Streams = 3 }))
	c := g.dial()
	for i := range uint32(4) {
		c.request(2*i+1, true, get...)
	}
	e := c.until("REFUSED_STREAM", func(e event) bool { return e.kind == "rst" })
	if e.stream != 7 || e.code != http2.ErrCodeRefusedStream {
		t.Error(e)
	}
	close(gate)
	for i := range uint32(3) {
		c.answer(2*i + 1)
	}
	c.good(9)
}

func TestDataIsReadAsRFC9113Section6_1Says(t *testing.T) {
	check(t, []rule{
		{"DATA on stream 0", func(c *raw) { c.frame(http2.FrameData, endStream, 0, 'x') }, dies(http2.ErrCodeProtocol)},
		{"DATA in many frames", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameData, 0, 1, 'x')
			c.frame(http2.FrameData, 0, 1)
			c.frame(http2.FrameData, endStream, 1, 'y')
		}, func(c *raw) {
			if _, body, _ := c.answer(1); body != "got xy" {
				c.t.Error(body)
			}
		}},
		{"an empty end", func(c *raw) { c.open(1); c.frame(http2.FrameData, endStream, 1) }, answers(1, 200)},
		{"padding", func(c *raw) {
			c.open(1, "content-length", "2")
			c.frame(http2.FrameData, endStream|padded, 1, 3, 'h', 'i', 0, 0, 0)
		}, func(c *raw) {
			if _, body, _ := c.answer(1); body != "got hi" {
				c.t.Error(body)
			}
		}},
		{"padding alone", func(c *raw) { c.open(1); c.frame(http2.FrameData, endStream|padded, 1, 2, 0, 0) }, answers(1, 200)},
		{"more padding than payload", func(c *raw) { c.open(1); c.frame(http2.FrameData, endStream|padded, 1, 6, 'h', 'i') }, dies(http2.ErrCodeProtocol)},
		{"padding as long as the payload with its length", func(c *raw) { c.open(1); c.frame(http2.FrameData, endStream|padded, 1, 3, 'h', 'i') }, dies(http2.ErrCodeProtocol)},
		{"no length of the padding", func(c *raw) { c.open(1); c.frame(http2.FrameData, endStream|padded, 1) }, dies(http2.ErrCodeFrameSize)},
	})
}

func TestHeadersAreReadAsRFC9113Section6_2Says(t *testing.T) {
	check(t, []rule{
		{"a whole head", func(c *raw) { c.request(1, true, get...) }, answers(1, 200)},
		{"a head with padding and a priority", func(c *raw) {
			p := append([]byte{2, 0x80, 0, 0, 0, 200}, c.block(get...)...)
			c.frame(http2.FrameHeaders, endStream|endHeaders|padded|priority, 1, append(p, 0, 0)...)
		}, answers(1, 200)},
		{"HEADERS on stream 0", func(c *raw) { c.request(0, true, get...) }, dies(http2.ErrCodeProtocol)},
		{"more padding than payload", func(c *raw) { c.frame(http2.FrameHeaders, endStream|endHeaders|padded, 1, 9, 0x82) }, dies(http2.ErrCodeProtocol)},
		{"too short for its priority", func(c *raw) { c.frame(http2.FrameHeaders, endStream|endHeaders|priority, 1, 0, 0) }, dies(http2.ErrCodeFrameSize)},
		{"an empty block", func(c *raw) { c.frame(http2.FrameHeaders, endStream|endHeaders, 1) }, resets(1, http2.ErrCodeProtocol)},
	})
}

func TestControlFramesAreReadAsRFC9113Section6Says(t *testing.T) {
	check(t, []rule{
		{"PRIORITY on stream 0", func(c *raw) { c.frame(http2.FramePriority, 0, 0, 0, 0, 0, 0, 1) }, dies(http2.ErrCodeProtocol)},
		{"PRIORITY of another length", func(c *raw) { c.open(1); c.frame(http2.FramePriority, 0, 1, 0, 0, 0, 0) }, resets(1, http2.ErrCodeFrameSize)},
		{"RST_STREAM on stream 0", func(c *raw) { c.frame(http2.FrameRSTStream, 0, 0, 0, 0, 0, 8) }, dies(http2.ErrCodeProtocol)},
		{"RST_STREAM of another length", func(c *raw) { c.open(1); c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0) }, dies(http2.ErrCodeFrameSize)},
		{"RST_STREAM of an unknown code", func(c *raw) { c.open(1); c.frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 99) }, serves},
		{"PUSH_PROMISE from a client", func(c *raw) { c.open(1); c.frame(http2.FramePushPromise, endHeaders, 1, 0, 0, 0, 2, 0x82) }, dies(http2.ErrCodeProtocol)},
		{"PING is answered with its payload", func(c *raw) { c.frame(http2.FramePing, 0, 0, []byte("h2 door!")...) }, pongs("h2 door!")},
		{"PING that answers is not answered", func(c *raw) {
			c.frame(http2.FramePing, http2.FlagPingAck, 0, []byte("ignored!")...)
			c.frame(http2.FramePing, 0, 0, []byte("answered")...)
		}, func(c *raw) {
			if e := c.until("PING", func(e event) bool { return e.kind == "pong" }); e.data != "answered" {
				c.t.Error(e)
			}
		}},
		{"PING on a stream", func(c *raw) { c.frame(http2.FramePing, 0, 1, make([]byte, 8)...) }, dies(http2.ErrCodeProtocol)},
		{"PING of another length", func(c *raw) { c.frame(http2.FramePing, 0, 0, make([]byte, 6)...) }, dies(http2.ErrCodeFrameSize)},
		{"GOAWAY on a stream", func(c *raw) { c.frame(http2.FrameGoAway, 0, 1, make([]byte, 8)...) }, dies(http2.ErrCodeProtocol)},
		{"GOAWAY too short", func(c *raw) { c.frame(http2.FrameGoAway, 0, 0, make([]byte, 7)...) }, dies(http2.ErrCodeFrameSize)},
		{"GOAWAY of an unknown code", func(c *raw) { c.frame(http2.FrameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99) }, serves},
		{"WINDOW_UPDATE of nothing for the connection", func(c *raw) { c.frame(http2.FrameWindowUpdate, 0, 0, 0, 0, 0, 0) }, dies(http2.ErrCodeProtocol)},
		{"WINDOW_UPDATE of nothing for a stream", func(c *raw) { c.open(1); c.frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 0) }, resets(1, http2.ErrCodeProtocol)},
		{"WINDOW_UPDATE of another length", func(c *raw) { c.frame(http2.FrameWindowUpdate, 0, 0, 0, 0, 1) }, dies(http2.ErrCodeFrameSize)},
		{"the connection's window beyond 2^31-1", func(c *raw) {
			c.frame(http2.FrameWindowUpdate, 0, 0, 0x7f, 0xff, 0xff, 0xff)
			c.frame(http2.FrameWindowUpdate, 0, 0, 0x7f, 0xff, 0xff, 0xff)
		}, dies(http2.ErrCodeFlowControl)},
		{"a stream's window beyond 2^31-1", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameWindowUpdate, 0, 1, 0x7f, 0xff, 0xff, 0xff)
			c.frame(http2.FrameWindowUpdate, 0, 1, 0x7f, 0xff, 0xff, 0xff)
		}, resets(1, http2.ErrCodeFlowControl)},
		{"a head in CONTINUATION frames", func(c *raw) {
			p := c.block(with(get, "x-long", strings.Repeat("x", 100))...)
			c.frame(http2.FrameHeaders, endStream, 1, p[:1]...)
			c.frame(http2.FrameContinuation, 0, 1, p[1:9]...)
			c.frame(http2.FrameContinuation, 0, 1)
			c.frame(http2.FrameContinuation, endHeaders, 1, p[9:]...)
		}, answers(1, 200)},
		{"CONTINUATION behind a head that has ended", func(c *raw) {
			c.request(1, true, get...)
			c.frame(http2.FrameContinuation, endHeaders, 1)
		}, dies(http2.ErrCodeProtocol)},
		{"CONTINUATION behind a CONTINUATION that has ended it", func(c *raw) {
			c.frame(http2.FrameHeaders, endStream, 1, c.block(get...)...)
			c.frame(http2.FrameContinuation, endHeaders, 1)
			c.frame(http2.FrameContinuation, endHeaders, 1)
		}, dies(http2.ErrCodeProtocol)},
		{"CONTINUATION on stream 0", func(c *raw) {
			c.frame(http2.FrameHeaders, endStream, 1, c.block(get...)...)
			c.frame(http2.FrameContinuation, endHeaders, 0)
		}, dies(http2.ErrCodeProtocol)},
		{"CONTINUATION behind DATA", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameData, 0, 1, 'x')
			c.frame(http2.FrameContinuation, endHeaders, 1)
		}, dies(http2.ErrCodeProtocol)},
		{"DATA within a head", func(c *raw) {
			c.frame(http2.FrameHeaders, 0, 1, c.block(post...)...)
			c.frame(http2.FrameData, endStream, 1, 'x')
		}, dies(http2.ErrCodeProtocol)},
	})
}

func setting(id uint16, v uint32) []byte {
	return []byte{byte(id >> 8), byte(id), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

func TestSettingsAreReadAsRFC9113Section6_5Says(t *testing.T) {
	check(t, []rule{
		{"settings are acknowledged", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, setting(4, 100)...) }, func(c *raw) {
			for range 2 { // the preface's and these
				c.until("an acknowledgement", func(e event) bool { return e.kind == "ack" })
			}
		}},
		{"an acknowledgement with a payload", func(c *raw) { c.frame(http2.FrameSettings, 1, 0, setting(4, 100)...) }, dies(http2.ErrCodeFrameSize)},
		{"an acknowledgement is not answered", func(c *raw) { c.frame(http2.FrameSettings, 1, 0) }, serves},
		{"settings on a stream", func(c *raw) { c.frame(http2.FrameSettings, 0, 1, setting(4, 100)...) }, dies(http2.ErrCodeProtocol)},
		{"settings that are not whole", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, 0, 4, 0) }, dies(http2.ErrCodeFrameSize)},
		{"ENABLE_PUSH 2", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, setting(2, 2)...) }, dies(http2.ErrCodeProtocol)},
		{"ENABLE_PUSH 0 and 1", func(c *raw) {
			c.frame(http2.FrameSettings, 0, 0, append(setting(2, 0), setting(2, 1)...)...)
		}, serves},
		{"INITIAL_WINDOW_SIZE 2^31", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, setting(4, 1<<31)...) }, dies(http2.ErrCodeFlowControl)},
		{"MAX_FRAME_SIZE 16383", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, setting(5, 16383)...) }, dies(http2.ErrCodeProtocol)},
		{"MAX_FRAME_SIZE 2^24", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, setting(5, 1<<24)...) }, dies(http2.ErrCodeProtocol)},
		{"NO_RFC7540_PRIORITIES 2", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, setting(9, 2)...) }, dies(http2.ErrCodeProtocol)},
		{"an unknown setting", func(c *raw) { c.frame(http2.FrameSettings, 0, 0, setting(0xfff, 7)...) }, serves},
		{"HEADER_TABLE_SIZE 0 and again 4096", func(c *raw) {
			c.frame(http2.FrameSettings, 0, 0, append(setting(1, 0), setting(1, 4096)...)...)
		}, func(c *raw) {
			for i := range uint32(5) {
				c.good(1 + 2*i)
			}
		}},
		{"a window that shrinks below nothing, and grows again", func(c *raw) {
			c.frame(http2.FrameSettings, 0, 0, setting(4, 3)...)
			c.request(1, true, get...)
			if e := c.until("three bytes", func(e event) bool { return e.kind == "data" }); e.data != "got" || e.end {
				c.t.Error(e)
			}
			c.frame(http2.FrameSettings, 0, 0, setting(4, 0)...) // now it is -3
			c.frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 3)   // 0
			c.frame(http2.FramePing, 0, 0, make([]byte, 8)...)
			c.until("silence", func(e event) bool { return e.kind == "pong" })
			c.frame(http2.FrameSettings, 0, 0, setting(4, 1)...)
		}, func(c *raw) {
			if e := c.until("the last byte", func(e event) bool { return e.kind == "data" }); e.data != " " || !e.end {
				c.t.Error(e)
			}
		}},
		{"a window of one byte", func(c *raw) {
			c.frame(http2.FrameSettings, 0, 0, append(setting(4, 100), setting(4, 1)...)...)
			c.request(1, true, get...)
		}, func(c *raw) {
			if e := c.until("a byte", func(e event) bool { return e.kind == "data" }); e.data != "g" || e.end {
				c.t.Error(e)
			}
		}},
		{"settings that make an open stream's window too large", func(c *raw) {
			c.open(1)
			c.frame(http2.FrameWindowUpdate, 0, 1, 0x7f, 0xff, 0, 0)
			c.frame(http2.FrameSettings, 0, 0, setting(4, 1<<31-1)...)
		}, dies(http2.ErrCodeFlowControl)},
	})
}

func TestHeaderBlocksAreReadAsRFC7541Says(t *testing.T) {
	head := func(more ...byte) []byte { // GET http / with :authority x, and more
		return append([]byte{0x82, 0x86, 0x84, 0x01, 1, 'x'}, more...)
	}
	send := func(block []byte) func(*raw) {
		return func(c *raw) { c.frame(http2.FrameHeaders, endStream|endHeaders, 1, block...) }
	}
	long := func(n int) []byte { return bytes.Repeat([]byte{0x82}, n) }
	check(t, []rule{
		{"indexed fields", send(head()), answers(1, 200)},
		{"a literal with indexing and an indexed name", send(head(0x40|0x1a, 1, 'v')), answers(1, 200)},
		{"a literal with indexing and a new name", send(head(0x40, 1, 'n', 1, 'v')), answers(1, 200)},
		{"what was indexed is found again", send(head(0x40, 1, 'n', 1, 'v', 0xbe)), answers(1, 200)},
		{"a literal without indexing", send(head(0x00, 1, 'n', 1, 'v')), answers(1, 200)},
		{"a literal never indexed", send(head(0x10, 1, 'n', 1, 'v')), answers(1, 200)},
		{"Huffman", send(head(0x00, 0x82, 0xa8, 0xbf, 1, 'v')), answers(1, 200)}, // "no" less two bits of padding
		{"a table size update", send(append([]byte{0x20}, head()...)), answers(1, 200)},
		{"two table size updates", send(append([]byte{0x20, 0x3f, 0xe1, 0x1f}, head()...)), answers(1, 200)},
		{"index 0", send([]byte{0x80}), dies(http2.ErrCodeCompression)},
		{"an index beyond the tables", send([]byte{0xbe}), dies(http2.ErrCodeCompression)},
		{"a literal whose name's index is beyond the tables", send([]byte{0x40 | 0x3f, 0x7f, 1, 'v'}), dies(http2.ErrCodeCompression)},
		{"a table size update at the end", send(head(0x40, 1, 'n', 1, 'v', 0x20|1)), dies(http2.ErrCodeCompression)},
		{"a table size update beyond the setting", send([]byte{0x3f, 0xe2, 0x1f}), dies(http2.ErrCodeCompression)},
		{"Huffman padding longer than seven bits", send(head(0x00, 0x83, 0xa8, 0xbf, 0xff, 1, 'v')), dies(http2.ErrCodeCompression)},
		{"Huffman padding that is not of ones", send(head(0x00, 0x81, 0xa8&^7, 1, 'v')), dies(http2.ErrCodeCompression)},
		{"the end of string within Huffman", send(head(0x00, 0x85, 0x00, 0xff, 0xff, 0xff, 0xff, 1, 'v')), dies(http2.ErrCodeCompression)},
		{"an integer without end", send([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), dies(http2.ErrCodeCompression)},
		{"a string longer than the block", send([]byte{0x00, 9, 'n'}), dies(http2.ErrCodeCompression)},
		{"a pseudo-header field a thousand times", send(long(1000)), resets(1, http2.ErrCodeProtocol)},
		{"the table stands after a refused request", func(c *raw) {
			c.request(1, true, with(get, "Upper", "x", "x-kept", "kept")...)
			c.until("RST_STREAM", func(e event) bool { return e.kind == "rst" && e.stream == 1 })
			c.request(3, true, with(get, "x-kept", "kept")...)
		}, answers(3, 200)},
	})
}
