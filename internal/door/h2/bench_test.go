package h2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/h2/frame"
	"github.com/sallyport/sallyport/internal/door/targettest"
)

// plain is a backend that costs next to nothing: the same answer to every head.
func plain(b *testing.B) string {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: plain\r\nContent-Type: application/json\r\nContent-Length: 785\r\n\r\n" + strings.Repeat("x", 785))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buf, w := make([]byte, 4096), 0
				for {
					n, err := c.Read(buf[w:])
					if err != nil {
						return
					}
					if w += n; bytes.HasSuffix(buf[:w], []byte("\r\n\r\n")) {
						w = 0
						if _, err := c.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// load asks for n streams at a time, as cheaply as can be.
type load struct {
	c     *raw
	block []byte
	id    uint32
	out   []byte
	in    [64 << 10]byte
	r, w  int
	taken int
}

func newLoad(g *rig) *load {
	l := &load{c: g.dial(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}), id: 1}
	_ = l.c.NC.SetDeadline(time.Time{})
	head := with(get, "user-agent", "load", "accept", "application/json")
	for range 2 { // then all of it is in the table
		l.c.Request(l.id, true, head...)
		l.c.Answer(l.id)
		l.id += 2
	}
	l.block = l.c.Block(head...)
	return l
}

func (l *load) round(n int) error {
	l.out = l.out[:0]
	for range n {
		l.out = append(frame.Append(l.out, len(l.block), frame.Headers, frame.EndHeaders|frame.EndStream, l.id), l.block...)
		l.id += 2
	}
	if l.taken > 16<<10 {
		l.out = frame.AppendWindowUpdate(l.out, 0, l.taken)
		l.taken = 0
	}
	if _, err := l.c.NC.Write(l.out); err != nil {
		return err
	}
	for n > 0 {
		for l.w-l.r < frame.HeaderLen || l.w-l.r < frame.HeaderLen+int(binary.BigEndian.Uint32(l.in[l.r:])>>8) {
			if l.r > 0 {
				l.w = copy(l.in[:], l.in[l.r:l.w])
				l.r = 0
			}
			k, err := l.c.NC.Read(l.in[l.w:])
			if err != nil {
				return err
			}
			l.w += k
		}
		h := frame.ParseHeader(l.in[l.r:])
		l.r += frame.HeaderLen + int(h.Length)
		switch h.Type {
		case frame.Data:
			l.taken += int(h.Length)
			if h.Flags.Has(frame.EndStream) {
				n--
			}
		case frame.RSTStream, frame.GoAway:
			return fmt.Errorf("frame type %d", h.Type)
		}
	}
	return nil
}

// BenchmarkRequest is a whole request over loopback: client, door and backend.
func BenchmarkRequest(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("%d at a time", n), func(b *testing.B) {
			g := start(b, plain(b), false, limits(func(c *Config) { c.IdleTimeout = time.Minute }))
			g.Quiet = true
			l := newLoad(g)
			for range 20 {
				if err := l.round(n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				if err := l.round(n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDownload is a large body, flow control and all.
func BenchmarkDownload(b *testing.B) {
	const size = 10 << 20
	backend := targettest.New(b, targettest.Sized(size))
	g := start(b, backend.URL, true, limits(func(c *Config) { c.IdleTimeout = time.Minute }))
	g.Quiet = true
	client := g.Client()
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		res, err := client.Get(g.URL("/"))
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
			b.Fatal(n, err)
		}
		_ = res.Body.Close()
	}
}
