package h2test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// Verdict is what must follow.
type Verdict func(c *Client)

// Case is what a client does, and what must follow.
type Case struct {
	Section string // of the RFC
	Name    string
	Do      func(c *Client)
	Then    Verdict
	Bare    bool // Do says the preface itself
}

// Cases are all there are. They ask for / of host x, over http, which must answer
// 200 and "got " with the request's body, once it has read that.
func Cases() []Case {
	return slices.Concat(
		prefaces(), under("RFC 9113, 4", framing()), under("RFC 9113, 5.1", states()),
		under("RFC 9113, 5.1.1 to 5.5", streams()), under("RFC 9113, 6.1", data()), under("RFC 9113, 6.2", headers()),
		under("RFC 9113, 6.3 to 6.9", control()), under("RFC 9113, 6.5", settings()), under("RFC 9113, 6.9", windows()),
		under("RFC 9113, 6.10", continuations()), under("RFC 9113, 8.1", exchanges()), under("RFC 9113, 8.2", fields()),
		under("RFC 9113, 8.3", pseudoFields()), under("RFC 7541, 2 to 6", compression()))
}

// rule is a case of a section, for a client that has said its preface.
type rule struct {
	name string
	do   func(c *Client)
	then Verdict
}

func under(section string, rules []rule) (list []Case) {
	for _, r := range rules {
		list = append(list, Case{Section: section, Name: r.name, Do: r.do, Then: r.then})
	}
	return list
}

// Run holds a server to all cases; dial connects to it.
func Run(t *testing.T, dial func(t testing.TB) *Client) {
	for _, x := range Cases() {
		t.Run(x.Section+": "+x.Name, func(t *testing.T) {
			t.Parallel()
			c := dial(t)
			if !x.Bare {
				c.Hello()
			}
			x.Do(c)
			x.Then(c)
		})
	}
}

// Dies expects GOAWAY with one of the codes, and the end of the connection.
func Dies(codes ...http2.ErrCode) Verdict {
	return func(c *Client) {
		c.T.Helper()
		e := c.Until("GOAWAY", func(e Event) bool { return e.Kind == "goaway" })
		if !slices.Contains(codes, e.Code) {
			c.T.Errorf("GOAWAY %v (%s), want %v", e.Code, e.Data, codes)
		}
		c.Until("the end", func(e Event) bool { return e.Kind == "closed" })
	}
}

// Resets expects RST_STREAM on the stream, and that the connection serves on.
func Resets(id uint32, codes ...http2.ErrCode) Verdict {
	return func(c *Client) {
		c.T.Helper()
		e := c.Until("RST_STREAM", func(e Event) bool { return e.Kind == "rst" && e.Stream == id })
		if !slices.Contains(codes, e.Code) {
			c.T.Errorf("RST_STREAM %v, want %v", e.Code, codes)
		}
		Serves(c)
	}
}

// Answers expects an answer of that status on the stream.
func Answers(id uint32, status int) Verdict {
	return func(c *Client) {
		c.T.Helper()
		if fields, _, _ := c.Answer(id); !strings.HasPrefix(fields, fmt.Sprintf(":status: %d\n", status)) {
			c.T.Errorf("stream %d: %s", id, fields)
		}
	}
}

// Echoes expects 200 on the stream, and that the server had that body.
func Echoes(id uint32, body string) Verdict {
	return func(c *Client) {
		c.T.Helper()
		if fields, got, _ := c.Answer(id); !strings.HasPrefix(fields, ":status: 200\n") || got != "got "+body {
			c.T.Errorf("stream %d: %s%q, want %q", id, fields, got, body)
		}
	}
}

// Serves expects that nothing has happened to the connection.
func Serves(c *Client) {
	c.T.Helper()
	c.Frame(http2.FrameSettings, 0, 0, setting(http2.SettingInitialWindowSize, 65535)...)
	c.Good(1001)
}

// Pongs expects the answer to a PING.
func Pongs(data string) Verdict {
	return func(c *Client) {
		c.T.Helper()
		c.Until("the answer to PING", func(e Event) bool { return e.Kind == "pong" && e.Data == data })
	}
}

// Malformed expects 400 that says so on stream 1, and the stream's end.
func Malformed(c *Client) {
	c.T.Helper()
	e := c.Until("400", func(e Event) bool { return e.Kind == "headers" && e.Stream == 1 })
	if !strings.HasPrefix(e.Fields, ":status: 400\n") || !strings.Contains(e.Fields, `details="request_malformed"`) {
		c.T.Errorf("%v", e)
	}
	Resets(1, http2.ErrCodeProtocol)(c)
}

func setting(id http2.SettingID, v uint32) []byte {
	return []byte{byte(id >> 8), byte(id), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

const (
	// EndStream and EndHeaders are what a whole head has.
	EndStream  = http2.FlagDataEndStream
	EndHeaders = http2.FlagHeadersEndHeaders
	padded     = http2.FlagDataPadded
	priority   = http2.FlagHeadersPriority
)
