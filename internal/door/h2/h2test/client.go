package h2test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Client is the client's side of one connection. It is not safe for concurrent use,
// but for its Framer, of which one goroutine may write while another reads.
type Client struct {
	T  testing.TB
	NC net.Conn
	Fr *http2.Framer
	// Settings are what the server has said of itself so far.
	Settings map[http2.SettingID]uint32

	buf bytes.Buffer
	enc *hpack.Encoder
	dec *hpack.Decoder
	// others are events of streams that nobody has waited for yet.
	others []Event
}

// New makes a client of a connection that it closes at the test's end. Nothing has
// been said on it.
func New(t testing.TB, nc net.Conn) *Client {
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { _ = nc.Close() })
	c := &Client{T: t, NC: nc, Fr: http2.NewFramer(nc, bufio.NewReader(nc)), Settings: map[http2.SettingID]uint32{}}
	c.Fr.AllowIllegalWrites, c.Fr.AllowIllegalReads = true, true
	c.Fr.SetMaxReadFrameSize(1<<24 - 1)
	c.enc = hpack.NewEncoder(&c.buf)
	c.dec = hpack.NewDecoder(4096, nil)
	return c
}

// Must fails the test where err is not nil.
func (c *Client) Must(err error) {
	c.T.Helper()
	if err != nil {
		c.T.Fatal(err)
	}
}

// Hello says the preface.
func (c *Client) Hello(settings ...http2.Setting) {
	c.T.Helper()
	_, err := io.WriteString(c.NC, http2.ClientPreface)
	c.Must(err)
	c.Must(c.Fr.WriteSettings(settings...))
}

// Get and Post are the heads of ordinary requests, as With and Request take them.
var (
	Get  = []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "x"}
	Post = []string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "x"}
)

// With adds fields to a head.
func With(base []string, more ...string) []string {
	return append(append([]string{}, base...), more...)
}

// Block encodes name, value, name, value …
func (c *Client) Block(pairs ...string) []byte {
	c.buf.Reset()
	for i := 0; i+1 < len(pairs); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(c.buf.Bytes())
}

// Request sends a request's head.
func (c *Client) Request(id uint32, end bool, pairs ...string) {
	c.T.Helper()
	c.Must(c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.Block(pairs...), EndStream: end, EndHeaders: true}))
}

// Open sends a head whose body is still to come.
func (c *Client) Open(id uint32, more ...string) {
	c.T.Helper()
	c.Request(id, false, With(Post, more...)...)
}

// Frame writes any frame.
func (c *Client) Frame(kind http2.FrameType, flags http2.Flags, id uint32, payload ...byte) {
	c.T.Helper()
	c.Must(c.Fr.WriteRawFrame(kind, flags, id, payload))
}

// Finished has a whole exchange behind it.
func (c *Client) Finished(id uint32) {
	c.T.Helper()
	c.Request(id, true, Get...)
	c.Answer(id)
}

// HalfClosed sends a whole request, whose answer cannot end for want of a window.
func (c *Client) HalfClosed(id uint32) {
	c.T.Helper()
	c.Frame(http2.FrameSettings, 0, 0, setting(http2.SettingInitialWindowSize, 0)...)
	c.Request(id, true, Get...)
}

// Reset opens a stream and resets it.
func (c *Client) Reset(id uint32) {
	c.T.Helper()
	c.Open(id)
	c.Frame(http2.FrameRSTStream, 0, id, 0, 0, 0, 8)
}

// Answer reads a stream's whole answer.
func (c *Client) Answer(id uint32) (fields, body, trailers string) {
	c.T.Helper()
	for {
		e := c.Until(fmt.Sprintf("the answer to %d", id), func(e Event) bool {
			return e.Stream == id && (e.Kind == "headers" || e.Kind == "data" || e.Kind == "rst")
		})
		switch {
		case e.Kind == "rst":
			c.T.Fatalf("stream %d was reset: %v, after %q", id, e.Code, fields)
		case e.Kind == "headers" && (fields == "" || strings.HasPrefix(fields, ":status: 1")):
			fields = e.Fields
		case e.Kind == "headers":
			trailers = e.Fields
		default:
			body += e.Data
		}
		if e.End {
			return fields, body, trailers
		}
	}
}

// Good says that the connection still serves.
func (c *Client) Good(id uint32) {
	c.T.Helper()
	c.Request(id, true, Get...)
	if fields, _, _ := c.Answer(id); !strings.HasPrefix(fields, ":status: 200\n") {
		c.T.Fatalf("stream %d: %s", id, fields)
	}
}
