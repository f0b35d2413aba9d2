package h2test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/net/http2"
)

// Event is what the server did.
type Event struct {
	Kind   string // headers, data, rst, goaway, settings, ack, ping, pong, window, other; closed; silence
	Stream uint32
	Code   http2.ErrCode
	Fields string // name: value, a line each
	Data   string
	End    bool
	N      uint32
}

func (e Event) String() string {
	return fmt.Sprintf("%s stream=%d code=%v end=%v fields=%q data=%q", e.Kind, e.Stream, e.Code, e.End, e.Fields, short(e.Data))
}

func short(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// Next reads one event.
func (c *Client) Next() Event {
	f, err := c.Fr.ReadFrame()
	if err != nil {
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return Event{Kind: "silence"}
		}
		return Event{Kind: "closed"}
	}
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return c.head(f)
	case *http2.DataFrame:
		return Event{Kind: "data", Stream: f.StreamID, Data: string(f.Data()), End: f.StreamEnded()}
	case *http2.RSTStreamFrame:
		return Event{Kind: "rst", Stream: f.StreamID, Code: f.ErrCode}
	case *http2.GoAwayFrame:
		return Event{Kind: "goaway", Stream: f.LastStreamID, Code: f.ErrCode, Data: string(f.DebugData())}
	case *http2.SettingsFrame:
		if f.IsAck() {
			return Event{Kind: "ack"}
		}
		_ = f.ForeachSetting(func(s http2.Setting) error { c.Settings[s.ID] = s.Val; return nil })
		return Event{Kind: "settings"}
	case *http2.PingFrame:
		if f.IsAck() {
			return Event{Kind: "pong", Data: string(f.Data[:])}
		}
		return Event{Kind: "ping", Data: string(f.Data[:])}
	case *http2.WindowUpdateFrame:
		return Event{Kind: "window", Stream: f.StreamID, N: f.Increment}
	}
	return Event{Kind: "other"}
}

// head reads a head with its CONTINUATION frames.
func (c *Client) head(f *http2.HeadersFrame) Event {
	block := bytes.Clone(f.HeaderBlockFragment())
	e := Event{Kind: "headers", Stream: f.StreamID, End: f.StreamEnded()}
	for done := f.HeadersEnded(); !done; {
		next, err := c.Fr.ReadFrame()
		c.Must(err)
		k, ok := next.(*http2.ContinuationFrame)
		if !ok {
			c.T.Fatalf("%v within a header block", next)
		}
		block = append(block, k.HeaderBlockFragment()...)
		done = k.HeadersEnded()
	}
	fields, err := c.dec.DecodeFull(block)
	c.Must(err)
	for _, h := range fields {
		e.Fields += h.Name + ": " + h.Value + "\n"
	}
	return e
}

// Until reads up to an event that fits. Those of streams that it passes over are
// kept for who waits for them later.
func (c *Client) Until(what string, fits func(Event) bool) Event {
	c.T.Helper()
	for i, e := range c.others {
		if fits(e) {
			c.others = append(c.others[:i], c.others[i+1:]...)
			return e
		}
	}
	var seen []string
	for {
		e := c.Next()
		if fits(e) {
			return e
		}
		if e.Kind == "headers" || e.Kind == "data" || e.Kind == "rst" {
			c.others = append(c.others, e)
		}
		seen = append(seen, e.String())
		if e.Kind == "closed" || e.Kind == "silence" {
			c.T.Fatalf("waiting for %s, saw\n%s", what, strings.Join(seen, "\n"))
		}
	}
}
