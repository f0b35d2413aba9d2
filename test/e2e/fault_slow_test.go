//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// short are limits that a test can wait for.
const short = "limits: {headerTimeout: 2s, idleTimeout: 3s}\n"

// regulars are a few clients who do as they should, until they are told to end.
func regulars(g *gateway, to *tally) *crew {
	c := &crew{}
	c.work(3, func(w, i int) {
		client := g.client
		if w == 1 {
			client = g.h2
		}
		begin := time.Now()
		a, err := exchange(client, "POST", g.url("/open"), "hello")
		to.note(a, err, time.Since(begin))
		time.Sleep(time.Millisecond)
	})
	return c
}

// generous is a backend whose answers at /large are of so many bytes.
func generous(t testing.TB, size int) *ledger {
	large := strings.Repeat("x", size)
	return newLedger(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/large") {
			_, _ = io.WriteString(w, large)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
}

// TestSlowClientsAreEndedAndHoldUpNobody opens many slow connections of each kind
// beside a few good clients.
func TestSlowClientsAreEndedAndHoldUpNobody(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		many := counts(100, 10_000/len(engines())) // of all engines, which run at once
		seeded(t)
		times := time.Duration(counts(1, 20))
		boot := fmt.Sprintf("limits: {headerTimeout: %s, idleTimeout: %s}\n", 2*times*time.Second, 3*times*time.Second)
		b := generous(t, 64<<20)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL), boot: boot})
		before, memory := g.metric(t, "go_goroutines"), usageOf(t, g.pid()).rss
		var alone, coming, good tally
		quiet := regulars(g, &alone)
		time.Sleep(time.Duration(counts(1, 10)) * time.Second)
		quiet.end()
		high := int64(0)
		watch := &crew{}
		watch.work(1, func(_, _ int) {
			high = max(high, usageOf(t, g.pid()).rss)
			time.Sleep(100 * time.Millisecond)
		})
		early := regulars(g, &coming)
		ended := gather(t, g.proxy, many, times)
		time.Sleep(time.Duration(many/10+1)*pause(times) + time.Second)
		early.end()
		c := regulars(g, &good)
		r := ended(stretched(10*times*time.Second + 3*time.Second))
		c.end()
		watch.end()
		for _, f := range r.Faults {
			t.Error(f)
		}
		coming.only(t, "good clients", 200)
		good.only(t, "good clients", 200)
		t.Logf("good clients, alone: %v; while %d slow ones come, most of them with a handshake: %v; beside them: %v; %d MiB before, %d MiB meanwhile",
			&alone, many, &coming, &good, memory>>20, high>>20)
		if soak() && percentile(good.times, 0.99) > 2*percentile(alone.times, 0.99) {
			t.Errorf("the p99 of good clients is more than twice what it was")
		}
		for _, s := range slowClients(times) {
			if n := r.Opened[s.name]; n == 0 || len(r.Ended[s.name]) != n {
				t.Errorf("of %d clients of which each %s, %d were ended", n, s.name, len(r.Ended[s.name]))
				continue
			}
			t.Logf("who %s is ended after %s", s.name, spread(r.Ended[s.name]))
			limit := s.after + 1500*time.Millisecond + (times-1)*150*time.Millisecond // who drips finds out at a later drop
			if strings.Contains(s.name, "not read") {
				limit += (times - 1) * 6 * time.Second // now and then its kernel takes a little more, which is progress
			}
			if engine == "standard" {
				limit += 5 * time.Second // for which crypto/tls tries to say goodbye
			}
			within(t, "ending a client that "+s.name, percentile(r.Ended[s.name], 1), limit)
		}
		if most := memory + int64(many)*256<<10 + 64<<20; high > most {
			t.Errorf("%d MiB are used, more than %d", high>>20, most>>20)
		}
		g.calm(t, before)
	})
}

// framed is an HTTP/2 connection written by hand.
type framed struct {
	net.Conn
	*http2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

func dialFramed(g *gateway) (*framed, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", g.proxy, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	f := &framed{Conn: c, Framer: http2.NewFramer(c, c)}
	f.enc = hpack.NewEncoder(&f.buf)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return nil, err
	}
	return f, f.WriteSettings()
}

// head encodes the head of a request.
func (f *framed) head(path string) []byte {
	f.buf.Reset()
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", path}} {
		_ = f.enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return bytes.Clone(f.buf.Bytes())
}

// drained reads until the gateway ends the connection, and tells why.
func (f *framed) drained() (reason chan string) {
	reason = make(chan string, 1)
	go func() {
		last := ""
		for {
			fr, err := f.ReadFrame()
			if err != nil {
				reason <- strings.TrimSpace(last + " " + err.Error())
				return
			}
			if g, ok := fr.(*http2.GoAwayFrame); ok {
				last = "GOAWAY " + g.ErrCode.String()
			}
		}
	}()
	return reason
}

var http2Floods = []struct {
	name string
	must bool // the connection must be ended
	send func(f *framed, n int) error
}{
	{"rapid reset", false, func(f *framed, n int) error { // CVE-2023-44487
		id := uint32(2*n + 1)
		return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.head("/open"), EndHeaders: true, EndStream: true}),
			f.WriteRSTStream(id, http2.ErrCodeCancel))
	}},
	{"CONTINUATION without end", true, func(f *framed, n int) error { // CVE-2023-45288
		if n == 0 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head("/open")})
		}
		return f.WriteContinuation(1, false, bytes.Repeat([]byte{0x40, 1, 'a', 1, 'b'}, 800))
	}},
	{"empty CONTINUATION without end", false, func(f *framed, n int) error {
		if n == 0 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head("/open")})
		}
		return f.WriteContinuation(1, false, nil)
	}},
	{"SETTINGS", false, func(f *framed, _ int) error { // CVE-2019-9515
		return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
	}},
	{"PING", false, func(f *framed, n int) error { return f.WritePing(false, [8]byte{byte(n)}) }}, // CVE-2019-9512
	{"PRIORITY", false, func(f *framed, n int) error {
		return f.WritePriority(uint32(2*n+1), http2.PriorityParam{StreamDep: 0, Weight: byte(n)})
	}},
	{"WINDOW_UPDATE of nothing", true, func(f *framed, _ int) error { return f.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4)) }},
	{"empty DATA", false, func(f *framed, n int) error { // CVE-2019-9518
		if n == 0 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head("/open"), EndHeaders: true})
		}
		return f.WriteData(1, false, nil)
	}},
	{"streams without end", false, func(f *framed, n int) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: f.head("/open"), EndHeaders: true})
	}},
	{"unknown frames", false, func(f *framed, n int) error { return f.WriteRawFrame(0xfa, 0, 0, make([]byte, 1000)) }},
}

// TestHTTP2FloodsAreBounded floods by each of the frames that have brought servers
// down, while good clients go on.
func TestHTTP2FloodsAreBounded(t *testing.T) {
	seeded(t)
	b := newLedger(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL), boot: short})
	g.get(t, "", "/open").expect(t, "first", 200, "")
	before := g.metric(t, "go_goroutines")
	for _, flood := range http2Floods {
		memory := usageOf(t, g.pid()).rss
		var sent atomic.Int64
		var wg sync.WaitGroup
		end := time.Now().Add(time.Duration(counts(1, 10)) * time.Second)
		reasons := make(chan string, 2)
		for range 2 {
			wg.Go(func() {
				f, err := dialFramed(g)
				if err != nil {
					t.Errorf("%s: %v", flood.name, err)
					return
				}
				why := f.drained()
				for n := 0; time.Now().Before(end); n++ {
					if err := flood.send(f, n); err != nil {
						break
					}
					sent.Add(1)
				}
				if flood.must {
					select {
					case r := <-why:
						reasons <- r
					case <-time.After(5 * time.Second):
						t.Errorf("%s: the connection was not ended after %d frames", flood.name, sent.Load())
					}
				}
				_ = f.Close()
			})
		}
		var good tally
		var c crew
		c.work(2, func(w, _ int) {
			client := g.client
			if w == 1 {
				client = g.h2
			}
			begin := time.Now()
			a, err := exchange(client, "GET", g.url("/open"), "")
			good.note(a, err, time.Since(begin))
			time.Sleep(2 * time.Millisecond)
		})
		wg.Wait()
		c.end()
		good.only(t, "good clients beside a flood of "+flood.name, 200)
		now := usageOf(t, g.pid()).rss
		t.Logf("%s: %d frames; good clients %v; %d MiB more", flood.name, sent.Load(), &good, (now-memory)>>20)
		if now > memory+96<<20 {
			t.Errorf("%s: %d MiB more", flood.name, (now-memory)>>20)
		}
		if len(reasons) > 0 {
			t.Logf("%s: %s", flood.name, <-reasons)
		}
	}
	g.calm(t, before)
}
