package h2

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/door/h2/h2test"
	"github.com/sallyport/sallyport/internal/door/targettest"
)

// flood sends what make gives until the server has had enough, or for n times.
// It answers how often it got through.
func flood(c *raw, n int, send func(i int) error) int {
	_ = c.NC.SetWriteDeadline(time.Now().Add(5 * time.Second))
	for i := range n {
		if send(i) != nil {
			return i
		}
	}
	return n
}

// calmed expects that the client was told to calm down, or cut off hard while it
// was still writing.
func calmed(t *testing.T, c *raw) {
	t.Helper()
	for {
		e := c.Next()
		switch {
		case e.Kind == "goaway" && e.Code == http2.ErrCodeEnhanceYourCalm, e.Kind == "closed":
			return
		case e.Kind == "goaway", e.Kind == "silence":
			t.Errorf("not calmed: %v", e)
			return
		}
	}
}

func TestFloodsAreCutOffInBoundedMemory(t *testing.T) {
	var served atomic.Int64
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		time.Sleep(time.Millisecond)
	})
	g := start(t, b.URL, false, limits(func(c *Config) { c.IdleTimeout = 10 * time.Second }))
	id := func(i int) uint32 { return uint32(2*i + 1) }
	for _, f := range []struct {
		name string
		do   func(c *raw) func(i int) error
	}{
		{"rapid reset (CVE-2023-44487)", func(c *raw) func(int) error {
			return func(i int) error {
				if err := c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: c.Block(get...), EndStream: true, EndHeaders: true}); err != nil {
					return err
				}
				return c.Fr.WriteRSTStream(id(i), http2.ErrCodeCancel)
			}
		}},
		{"resets that we are made to send (CVE-2025-8671): WINDOW_UPDATE of nothing", func(c *raw) func(int) error {
			return func(i int) error {
				if err := c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: c.Block(post...), EndHeaders: true}); err != nil {
					return err
				}
				return c.Fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id(i), []byte{0, 0, 0, 0})
			}
		}},
		{"resets that we are made to send: malformed heads", func(c *raw) func(int) error {
			return func(i int) error {
				return c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: c.Block("X", "y"), EndStream: true, EndHeaders: true})
			}
		}},
		{"resets that we are made to send: refused streams", func(c *raw) func(int) error {
			return func(i int) error {
				return c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: c.Block(post...), EndHeaders: true})
			}
		}},
		{"resets that we are made to send: DATA for closed streams", func(c *raw) func(int) error {
			return func(i int) error {
				if err := c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: c.Block(post...), EndStream: true, EndHeaders: true}); err != nil {
					return err
				}
				return c.Fr.WriteData(id(i), true, []byte("x"))
			}
		}},
		{"CONTINUATION without end (CVE-2023-45288, CVE-2024-27316)", func(c *raw) func(int) error {
			_ = c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.Block(get...), EndStream: true})
			return func(int) error {
				return c.Fr.WriteContinuation(1, false, c.Block("x-"+strings.Repeat("a", 1000), strings.Repeat("b", 5000)))
			}
		}},
		{"empty CONTINUATION without end", func(c *raw) func(int) error {
			_ = c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.Block(get...), EndStream: true})
			return func(int) error { return c.Fr.WriteContinuation(1, false, nil) }
		}},
		{"SETTINGS (CVE-2019-9515)", func(c *raw) func(int) error {
			return func(i int) error { return c.Fr.WriteSettings(http2.Setting{ID: 4, Val: uint32(i)}) }
		}},
		{"SETTINGS of thousands of windows, with many streams open", func(c *raw) func(int) error {
			for i := range 250 {
				_ = c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: c.Block(post...), EndHeaders: true})
			}
			all := bytes.Repeat(append(setting(4, 1), setting(4, 2)...), 1300)
			return func(int) error { return c.Fr.WriteRawFrame(http2.FrameSettings, 0, 0, all) }
		}},
		{"PING (CVE-2019-9512)", func(c *raw) func(int) error {
			return func(int) error { return c.Fr.WritePing(false, [8]byte{}) }
		}},
		{"answers to no PING", func(c *raw) func(int) error {
			return func(int) error { return c.Fr.WritePing(true, [8]byte{}) }
		}},
		{"PRIORITY (CVE-2019-9513)", func(c *raw) func(int) error {
			return func(i int) error {
				return c.Fr.WritePriority(uint32(i%100*2+1), http2.PriorityParam{StreamDep: 0, Weight: uint8(i)})
			}
		}},
		{"WINDOW_UPDATE", func(c *raw) func(int) error {
			return func(int) error { return c.Fr.WriteWindowUpdate(0, 1) }
		}},
		{"empty DATA (CVE-2019-9518)", func(c *raw) func(int) error {
			c.Open(1)
			return func(int) error { return c.Fr.WriteData(1, false, nil) }
		}},
		{"padding alone", func(c *raw) func(int) error {
			c.Open(1)
			return func(int) error { return c.Fr.WriteDataPadded(1, false, nil, make([]byte, 200)) }
		}},
		{"empty DATA for a stream that was reset", func(c *raw) func(int) error {
			c.Open(1)
			c.Frame(http2.FrameWindowUpdate, 0, 1, 0, 0, 0, 0)
			return func(int) error { return c.Fr.WriteData(1, false, nil) }
		}},
		{"unknown frames", func(c *raw) func(int) error {
			return func(int) error { return c.Fr.WriteRawFrame(0xbb, 0, 0, nil) }
		}},
		{"GOAWAY", func(c *raw) func(int) error {
			return func(int) error { return c.Fr.WriteGoAway(0, 0, nil) }
		}},
		{"empty heads (CVE-2019-9516)", func(c *raw) func(int) error {
			return func(i int) error {
				return c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: c.Block("", ""), EndStream: true, EndHeaders: true})
			}
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			before := heap()
			served.Store(0)
			c := g.dialAs(t)
			c.Hello()
			if n := flood(c, 200_000, f.do(c)); n == 200_000 {
				t.Logf("all of it was taken")
			}
			calmed(t, c)
			if n := served.Load(); n > 3*mostResets {
				t.Errorf("the backend had %d requests of it", n)
			}
			if after := heap(); after > before+16<<20 {
				t.Errorf("%d MiB more heap", (after-before)>>20)
			}
			good := g.dialAs(t) // others are served
			good.Hello()
			good.Good(1)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Who reads nothing and asks for answers makes us hold them (CVE-2019-9517).
func TestAClientThatReadsNothingIsCutOff(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.CopyN(w, targettest.Zeros{}, 1<<20) })
	g := start(t, b.URL, false)
	before := heap()
	c := g.dial(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	_ = c.NC.(*net.TCPConn).SetReadBuffer(4 << 10)
	c.Must(c.Fr.WriteWindowUpdate(0, 1<<30))
	for i := range uint32(200) {
		c.Request(2*i+1, true, get...)
	}
	time.Sleep(300 * time.Millisecond)
	if after := heap(); after > before+32<<20 {
		t.Errorf("%d MiB are held for it", (after-before)>>20)
	}
	deadline := time.Now().Add(5 * time.Second)
	for g.server.Open() > 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if n := g.server.Open(); n > 0 {
		t.Errorf("%d connections are still open", n)
	}
}

func TestAHeadBeyondTheLimitIsRefused(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, false, limits(func(c *Config) { c.HeaderBytes = 4 << 10 }))
	c := g.dial()
	var bomb []string // one entry of the table, referred to again and again
	bomb = append(bomb, with(get, "x-bomb", strings.Repeat("b", 2000))...)
	for range 2000 {
		bomb = append(bomb, "x-bomb", strings.Repeat("b", 2000))
	}
	many := with(get)
	for i := range 300 {
		many = append(many, fmt.Sprint("x", i), "")
	}
	for i, x := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"at the limit", with(get, "x", strings.Repeat("x", 3000)), "200"},
		{"one long value", with(get, "x", strings.Repeat("x", 5000)), "431"},
		{"one long name", with(get, strings.Repeat("x", 5000), "x"), "431"},
		{"a long path", []string{":method", "GET", ":scheme", "http", ":path", "/" + strings.Repeat("x", 6000), ":authority", "x"}, "414"},
		{"a bomb (CVE-2016-1544)", bomb, "431"},
		{"many fields", many, "431"},
		{"and the connection is none the worse", get, "200"},
	} {
		id := uint32(2*i + 1)
		block := c.Block(x.pairs...)
		c.Must(c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:min(len(block), 16000)], EndStream: true, EndHeaders: len(block) <= 16000}))
		if len(block) > 16000 {
			t.Fatalf("%s: %d bytes", x.name, len(block))
		}
		if fields, body, _ := c.Answer(id); !strings.HasPrefix(fields, ":status: "+x.want+"\n") {
			t.Errorf("%s: %s%s", x.name, fields, body)
		}
	}
	long := c.Block(with(get, "x", strings.Repeat("x", 12000))...) // in many frames
	c.Must(c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 101, BlockFragment: long[:100], EndStream: true}))
	for rest := long[100:]; len(rest) > 0; {
		n := min(len(rest), 1000)
		c.Must(c.Fr.WriteContinuation(101, n == len(rest), rest[:n]))
		rest = rest[n:]
	}
	h2test.Answers(101, 431)(c)
	trailers := g.dial()
	trailers.Open(1)
	trailers.Request(1, true, "x", strings.Repeat("x", 5000))
	h2test.Resets(1, http2.ErrCodeProtocol)(trailers)
}

func TestSlowHeadsAreCutOff(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, false, limits(func(c *Config) { c.HeaderTimeout, c.IdleTimeout = 300*time.Millisecond, 20*time.Second }))
	for name, do := range map[string]func(c *raw){
		"nothing":           func(*raw) {},
		"half a preface":    func(c *raw) { _, _ = io.WriteString(c.NC, http2.ClientPreface[:10]) },
		"no settings":       func(c *raw) { _, _ = io.WriteString(c.NC, http2.ClientPreface) },
		"half a frame":      func(c *raw) { c.Hello(); _, _ = c.NC.Write([]byte{0, 0, 100, 1, 5, 0, 0, 0, 1, 0x82}) },
		"half a head block": func(c *raw) { c.Hello(); c.Frame(http2.FrameHeaders, endStream, 1, c.Block(get...)...) },
		"a byte at a time": func(c *raw) {
			c.Hello()
			c.Frame(http2.FrameHeaders, endStream, 1, c.Block(get...)...)
			go func() {
				for c.Fr.WriteContinuation(1, false, []byte{0x40, 1, 'a', 1, 'b'}) == nil {
					time.Sleep(50 * time.Millisecond)
				}
			}()
		},
	} {
		c := g.dialSilent()
		begun := time.Now()
		do(c)
		e := c.Until(name, func(e event) bool { return e.Kind == "goaway" || e.Kind == "closed" })
		if d := time.Since(begun); d > 2*time.Second || e.Kind == "goaway" && e.Code != http2.ErrCodeEnhanceYourCalm {
			t.Errorf("%s: %v after %v", name, e, d)
		}
		c.Until(name+": the end", func(e event) bool { return e.Kind == "closed" })
	}
}

func TestAnIdleConnectionIsEnded(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, false, limits(func(c *Config) { c.IdleTimeout = 400 * time.Millisecond }))
	c := g.dial()
	c.Good(1)
	begun := time.Now()
	go func() { // which keeps nothing alive
		for c.Fr.WritePing(false, [8]byte{}) == nil {
			time.Sleep(50 * time.Millisecond)
		}
	}()
	if e := c.Until("GOAWAY", func(e event) bool { return e.Kind == "goaway" }); e.Code != http2.ErrCodeNo || e.Stream != 1 {
		t.Error(e)
	}
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
	if d := time.Since(begun); d > 3*time.Second {
		t.Errorf("after %v", d)
	}
}

func TestFlowControlIsEnforced(t *testing.T) {
	hold := make(chan struct{})
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { <-hold })
	defer close(hold)
	g := start(t, b.URL, false, limits(func(c *Config) { c.StreamWindow, c.ConnWindow = 64<<10, 128<<10 }))
	c := g.dial()
	// The backend takes nothing, but its socket and the way out take some.
	c.Open(1)
	over := func(id uint32) event {
		for range 200 {
			if c.Fr.WriteData(id, false, make([]byte, 16384)) != nil {
				break
			}
		}
		return c.Until("an end", func(e event) bool { return e.Kind == "rst" || e.Kind == "goaway" || e.Kind == "closed" })
	}
	if e := over(1); e.Kind != "closed" && e.Code != http2.ErrCodeFlowControl {
		t.Errorf("beyond the windows: %v", e)
	}
}

func TestManyGoodClientsBesideBadOnes(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, true, limits(func(c *Config) { c.IdleTimeout, c.HeaderTimeout = 20*time.Second, 20*time.Second }))
	for i := range 300 { // that begin something and leave it
		nc, err := net.Dial("tcp", g.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		_, _ = io.WriteString(nc, http2.ClientPreface[:i%len(http2.ClientPreface)])
	}
	client := g.Client()
	for range 200 {
		res, err := client.Get(g.URL("/"))
		if status, _ := doortest.Read(t, res, err); status != 200 {
			t.Fatal(status)
		}
	}
}

func TestTheHeadsThatAConnectionHoldsAreBounded(t *testing.T) {
	b, letGo := targettest.Gated(t)
	g := start(t, b.URL, false, patient, limits(func(c *Config) { c.HeaderBytes = 8 << 10 }))
	c := g.dial()
	head := with(get, "x-long", strings.Repeat("x", 7<<10))
	const many = 100 // 700 KiB, of which 512 are held
	for i := range uint32(many) {
		c.Request(2*i+1, true, head...)
	}
	e := c.Until("REFUSED_STREAM", func(e event) bool { return e.Kind == "rst" })
	if e.Code != http2.ErrCodeRefusedStream || e.Stream < 2*64 {
		t.Error(e)
	}
	letGo()
	for id := uint32(1); id < e.Stream; id += 2 {
		c.Answer(id)
	}
	c.Request(1001, true, head...)
	c.Answer(1001)
}
