//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hostile is a backend that misbehaves: talk is called for each connection, and
// each request that is read goes through head, which counts it.
type hostile struct {
	mu   sync.Mutex
	seen map[string]int
}

// head reads a request's head and counts the request by its X-Probe.
func (h *hostile) head(r *bufio.Reader) (string, error) {
	text, err := head(r)
	if err != nil {
		return text, err
	}
	_, rest, _ := strings.Cut(strings.ToLower(text), "x-probe: ")
	probe, _, _ := strings.Cut(rest, "\r\n")
	h.mu.Lock()
	h.seen[probe]++
	h.mu.Unlock()
	return text, nil
}

func (h *hostile) count(probe string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[probe]
}

// unanswering is an address where connections are never completed: a listener
// whose queue is full.
func unanswering(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: freePort(t), Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 4 {
		if c, err := net.DialTimeout("tcp", address, 100*time.Millisecond); err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	return "http://" + address
}

// misdeed is a way in which a backend misbehaves, and what clients may see of it.
type misdeed struct {
	name string
	talk func(h *hostile, c net.Conn, r *bufio.Reader) // nil = url says where
	url  func(t testing.TB) string
	// status are those that may be answered; 0 = the answer is cut, and never whole.
	status []int
	whole  string // what a body of 200 must be, if it is whole
}

// says answers each request of a connection with the same text.
func says(text string, then ...func(net.Conn)) func(*hostile, net.Conn, *bufio.Reader) {
	return func(h *hostile, c net.Conn, r *bufio.Reader) {
		if _, err := h.head(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		for _, f := range then {
			f(c)
		}
	}
}

func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

// drip writes a byte at a time until the other side has had enough.
func drip(pause time.Duration, text string) func(net.Conn) {
	return func(c net.Conn) {
		for i := 0; ; i++ {
			if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// flood writes the same again and again.
func flood(text string, most int) func(net.Conn) {
	return func(c net.Conn) {
		for range most {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func misdeeds() []misdeed {
	bad := []int{502}
	list := []misdeed{
		{name: "refuses", url: func(t testing.TB) string { return "http://" + freeAddress(t) }, status: bad},
		{name: "never completes a connection", url: unanswering, status: []int{502, 504}},
		{name: "hangs up at once", talk: func(*hostile, net.Conn, *bufio.Reader) {}, status: bad},
		{name: "resets at once", talk: func(_ *hostile, c net.Conn, _ *bufio.Reader) { reset(c) }, status: bad},
		{name: "hangs", talk: says("", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), status: []int{504}},
		{name: "hangs in the head", talk: says("HTTP/1.1 200 OK\r\nX-A: b\r\n", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), status: []int{502, 504}},
		{name: "sends its head one byte at a time", talk: says("", drip(100*time.Millisecond, "HTTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("a", 1000))), status: []int{502, 504}},
		{name: "hangs up in the head", talk: says("HTTP/1.1 200 OK\r\nContent-"), status: bad},
		{name: "hangs up in the body", talk: says("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello"), status: []int{0}},
		{name: "resets in the body", talk: says("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello", reset), status: []int{0, 502}},
		{name: "hangs up in a chunk", talk: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\nhal"), status: []int{0}},
		{name: "ends without the last chunk", talk: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), status: []int{0}},
		{name: "sends more than it said", talk: says(fine + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"), status: []int{200, 502}, whole: "hello"},
		{name: "sends 100,000 headers", talk: says("HTTP/1.1 200 OK\r\n", flood("X-Header: some value that takes room\r\n", 100_000), flood("\r\n", 1)), status: bad},
		{name: "sends one endless header", talk: says("HTTP/1.1 200 OK\r\nX-Long: ", flood(strings.Repeat("a", 64<<10), 1000)), status: bad},
		{name: "floods 1xx", talk: says("", flood("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 1_000_000)), status: bad},
		{name: "sends 1xx one by one for ever", talk: says("", func(c net.Conn) {
			for _, err := io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n"); err == nil; _, err = io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n") {
				time.Sleep(50 * time.Millisecond)
			}
		}), status: []int{502, 504}},
		{name: "switches protocols unasked", talk: says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + fine), status: bad},
		{name: "speaks first", talk: func(h *hostile, c net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(c, fine)
			_, _ = h.head(r)
			time.Sleep(50 * time.Millisecond)
		}, status: []int{200, 502}, whole: "hello"},
	}
	for name, text := range map[string]string{
		"garbage":                        "\x00\x01\x02 this is no HTTP \xff\r\n\r\n",
		"another protocol":               "SSH-2.0-OpenSSH_9.2\r\n",
		"a TLS alert":                    "\x15\x03\x01\x00\x02\x02\x16",
		"HTTP/3.0":                       "HTTP/3.0 200 OK\r\n\r\n",
		"status 99":                      "HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
		"status 1000":                    "HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
		"two lengths":                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"a length and chunks":            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"a negative length":              "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
		"a length with a sign":           "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
		"a length that is no number":     "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
		"an unknown transfer coding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"a header without a name":        "HTTP/1.1 200 OK\r\n: value\r\nContent-Length: 5\r\n\r\nhello",
		"a space before the colon":       "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
		"a bare CR in a value":           "HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: forged=1\r\nContent-Length: 5\r\n\r\nhello",
		"a NUL in a value":               "HTTP/1.1 200 OK\r\nX-A: b\x00c\r\nContent-Length: 5\r\n\r\nhello",
		"a chunk size that overflows":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"a chunk size that is no number": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n",
	} {
		list = append(list, misdeed{name: "answers with " + name, talk: says(text), status: []int{0, 502, 200}, whole: "hello"})
	}
	slices.SortFunc(list[19:], func(a, b misdeed) int { return strings.Compare(a.name, b.name) })
	return list
}

// TestABackendThatMisbehavesHarmsNobodyElse asks each misbehaving backend for
// something by every protocol and method, while others go on being served.
func TestABackendThatMisbehavesHarmsNobodyElse(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		seeded(t)
		good := newBystanders(t)
		h := &hostile{seen: map[string]int{}}
		list := misdeeds()
		document := withBackend(everyone, good.backend) + "  - {name: good, paths: [/good], service: api, access: public}\n"
		services := ""
		for i, m := range list {
			url := ""
			if m.talk == nil {
				url = m.url(t)
			} else {
				url = rawBackend(t, func(c net.Conn, r *bufio.Reader) { m.talk(h, c, r) })
			}
			services += fmt.Sprintf("  - {name: bad-%d, targets: [{url: %q}], timeouts: {connect: 500ms, response: 1s}}\n", i, url)
			document += fmt.Sprintf("  - {name: bad-%d, paths: [/bad/%d], service: bad-%d}\n", i, i, i)
		}
		document = strings.Replace(document, "services: [{name: api, targets: [{url: \""+good.backend+"\"}]}]\n",
			"services:\n  - {name: api, targets: [{url: \""+good.backend+"\"}]}\n"+services, 1)
		g := start(t, options{engine: engine, resources: document})
		for _, who := range []string{"alice", "bob"} { // the first password check is slow
			g.get(t, who, "/api").expect(t, who, 200, "")
		}
		running := g.metric(t, "go_goroutines")
		good.begin(t, g.url("/good"))
		time.Sleep(time.Duration(counts(1, 20)) * time.Second)
		alone := good.end(t)
		if soak() {
			yielding(t)
		}
		good.begin(t, g.url("/good"))
		for round := range counts(1, 20) {
			var wg sync.WaitGroup
			room := make(chan struct{}, 8)
			for i, m := range list {
				wg.Go(func() {
					room <- struct{}{}
					defer func() { <-room }()
					for name, client := range g.clients() {
						for _, method := range []string{"GET", "POST"} {
							m.try(t, g, h, client, fmt.Sprintf("%s by %s", method, name), method, i, round)
						}
					}
				})
			}
			wg.Wait()
		}
		beside := good.end(t)
		beside.only(t, "other routes", 200)
		t.Logf("other routes, before: %v; meanwhile: %v", alone, beside)
		if soak() {
			limit := percentile(alone.times, 0.99)
			if p := percentile(beside.times, 0.99); float64(p) > 1.1*float64(limit) {
				t.Errorf("the p99 of other routes is %v, more than 1.1 times %v", p, limit)
			}
		}
		g.calm(t, running)
	})
}

func (m *misdeed) try(t *testing.T, g *gateway, h *hostile, client *http.Client, how, method string, i, round int) {
	t.Helper()
	what := fmt.Sprintf("a backend that %s, %s", m.name, how)
	probe := strings.ToLower(fmt.Sprintf("%d-%d-%s", round, i, strings.ReplaceAll(how, " ", "-")))
	body := ""
	if method == "POST" {
		body = strings.Repeat("x", 1000)
	}
	begin := time.Now()
	a, err := exchange(client, method, g.url(fmt.Sprintf("/bad/%d", i)), body, user("alice"), header("X-Probe", probe))
	took := time.Since(begin)
	switch {
	case err != nil && !slices.Contains(m.status, 0):
		t.Errorf("%s: %v after %v, want %v", what, err, took, m.status)
	case err != nil:
	case !slices.Contains(m.status, a.status):
		t.Errorf("%s: %d %s after %v, want %v", what, a.status, tail(a.body, 200), took, m.status)
	case a.status == 200 && a.body != m.whole:
		t.Errorf("%s: a whole answer of %q, want %q or none", what, tail(a.body, 100), m.whole)
	case a.status >= 500 && (!strings.HasPrefix(a.code(), "upstream_") || a.header.Get("Proxy-Status") == ""):
		t.Errorf("%s: %d without saying whose fault it is: %q %q", what, a.status, a.code(), a.header.Get("Proxy-Status"))
	}
	if err == nil && (a.header.Get("Set-Cookie") != "" || strings.Contains(a.body, "forged")) {
		t.Errorf("%s: what it smuggled reached the client: %v %q", what, a.header, a.body)
	}
	within(t, what, took, 3*time.Second)
	if n := h.count(probe); method == "POST" && n > 1 {
		t.Errorf("%s: sent %d times", what, n)
	}
}

// TestAnAnswerBeforeTheBodyWasReadReachesItsClient has a backend that refuses an
// upload without reading it.
func TestAnAnswerBeforeTheBodyWasReadReachesItsClient(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		h := &hostile{seen: map[string]int{}}
		url := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			if _, err := h.head(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much")
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.CopyN(io.Discard, r, 1<<20) // and then no more: it hangs up on the rest,
			time.Sleep(300 * time.Millisecond)    // once its answer has been read: a reset destroys what is on its way
		})
		g := start(t, options{engine: engine, resources: withBackend(everyone, url)})
		g.must(t, 200, "PATCH", "/v2/routes/open", `{"bodyBytes":"100MiB"}`)
		for name, client := range g.clients() {
			for i, size := range []int{1000, 3 << 20, 30 << 20} {
				probe := fmt.Sprintf("%s-%d", strings.ToLower(strings.ReplaceAll(name, "/", "")), i)
				begin := time.Now()
				a, err := g.upload(t, client, size, probe)
				if err != nil {
					t.Errorf("%s, %d bytes: %v", name, size, err)
					continue
				}
				if a.status != 413 || a.body != "too much" {
					t.Errorf("%s, %d bytes: %d %q", name, size, a.status, a.body)
				}
				within(t, "an early answer", time.Since(begin), 3*time.Second)
				if n := h.count(probe); n != 1 {
					t.Errorf("%s, %d bytes: sent %d times", name, size, n)
				}
			}
		}
		g.get(t, "", "/open", header("X-Probe", "after")).expect(t, "the next request", 413, "")
	})
}

// upload sends a body of zeros, and reads the answer meanwhile. Over HTTP/1.1 it
// does so by hand: Go's client takes the end of the connection for a failure even
// where an answer came before it.
func (g *gateway) upload(t testing.TB, client *http.Client, size int, probe string) (*answer, error) {
	if client == g.h2 {
		return exchange(client, "POST", g.url("/open"), strings.Repeat("\x00", size), header("X-Probe", probe))
	}
	w := g.wire(t)
	w.send(fmt.Sprintf("POST /open HTTP/1.1\r\nHost: x\r\nX-Probe: %s\r\nContent-Length: %d\r\n\r\n", probe, size))
	go func() { _, _ = io.CopyN(w, nothing{}, int64(size)) }()
	return w.tryAnswer("POST")
}

// nothing is a body of zeros without end.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestConnectionsThatTheBackendClosesFailNobody has a backend that closes kept
// connections between requests, with and without a word.
func TestConnectionsThatTheBackendClosesFailNobody(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		random := seeded(t)
		h := &hostile{seen: map[string]int{}}
		url := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			for range 1 + random.n(4) {
				text, err := h.head(r)
				if err != nil {
					return
				}
				if strings.HasPrefix(text, "POST") {
					if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
						return
					}
				}
				if _, err := io.WriteString(c, fine); err != nil {
					return
				}
			}
			time.Sleep(random.upTo(5 * time.Millisecond))
			if random.n(2) == 0 {
				reset(c)
			}
		})
		g := start(t, options{engine: engine, resources: withBackend(everyone, url)})
		g.get(t, "alice", "/api").expect(t, "the first", 200, "")
		var gets, posts tally
		var mu sync.Mutex
		var sent []string
		var c crew
		c.work(4, func(w, i int) {
			client := g.client
			if w%2 == 1 {
				client = g.h2
			}
			probe, begin := fmt.Sprintf("w%d-%d", w, i), time.Now()
			if i%2 == 0 {
				a, err := exchange(client, "GET", g.url("/api"), "", user("alice"), header("X-Probe", probe))
				gets.note(a, err, time.Since(begin))
			} else {
				mu.Lock()
				sent = append(sent, probe)
				mu.Unlock()
				a, err := exchange(client, "POST", g.url("/api"), "0123456789", user("alice"), header("X-Probe", probe))
				posts.note(a, err, time.Since(begin))
				if err == nil && a.status == 200 && h.count(probe) != 1 {
					t.Errorf("POST %s was answered, and seen %d times", probe, h.count(probe))
				}
			}
			if i%10 == 0 {
				time.Sleep(random.upTo(10 * time.Millisecond))
			}
		})
		time.Sleep(time.Duration(counts(2, 120)) * time.Second)
		c.end()
		for _, probe := range sent {
			if n := h.count(probe); n > 1 {
				t.Errorf("POST %s was sent %d times", probe, n)
			}
		}
		t.Logf("in a race with the closing: GETs %v; POSTs %v", &gets, &posts)
		gets.only(t, "GETs", 200)
		posts.only(t, "POSTs", 200, 502) // one that may have been processed is not sent again
		// Without the race, the state of a kept connection can be known before it is used.
		var calm tally
		for i := range counts(40, 2000) {
			time.Sleep(30 * time.Millisecond)
			begin := time.Now()
			a, err := exchange(g.client, "POST", g.url("/api"), "0123456789", user("alice"), header("X-Probe", fmt.Sprint("calm-", i)))
			calm.note(a, err, time.Since(begin))
		}
		calm.only(t, "POSTs where the connection was closed before", 200)
	})
}
