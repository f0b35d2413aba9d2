package h1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// hostile is a target whose every connection gets raw as the answer to its first
// request, and then does what after says.
func hostile(t *testing.T, raw string, after func(c net.Conn)) *target {
	return rawTarget(t, func(c net.Conn) {
		if _, err := readRequest(bufio.NewReader(c), func() {}); err != nil {
			return
		}
		_, _ = io.WriteString(c, raw)
		if after != nil {
			after(c)
		}
	})
}

func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

func stay(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestFaultsOfATargetAreProblemsInTime(t *testing.T) {
	for name, c := range map[string]struct {
		raw    string
		after  func(net.Conn)
		status int
	}{
		"closes":                              {"", nil, 502},
		"resets":                              {"", reset, 502},
		"says nothing":                        {"", stay, 504},
		"begins a head and says nothing more": {"HTTP/1.1 200 OK\r\nX: ", stay, 504},
		"begins a head and closes":            {"HTTP/1.1 200 OK\r\nX: ", nil, 502},
		"one byte a moment":                   {"HTTP/1.1 200 OK\r\n", func(c net.Conn) { drip(c, strings.Repeat("X: y\r\n", 1000), 20*time.Millisecond) }, 504},
		"speaks another protocol":             {"SSH-2.0-OpenSSH_9.6\r\n", stay, 502},
		"100,000 fields":                      {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 100_000) + "\r\n", nil, 502},
		"one huge field":                      {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 10<<20) + "\r\n\r\n", nil, 502},
		"a line without end":                  {strings.Repeat("y", 10<<20), nil, 502},
		"a flood of interim answers":          {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10_000), stay, 502},
		"an interim answer and nothing more":  {"HTTP/1.1 103 Early Hints\r\n\r\n", stay, 504},
		"an interim answer, and closes":       {"HTTP/1.1 103 Early Hints\r\n\r\n", nil, 502},
		"100 for ever":                        {"HTTP/1.1 100 Continue\r\n\r\n", func(c net.Conn) { drip(c, strings.Repeat("\x00HTTP/1.1 100 Continue\r\n\r\n", 1000), 0) }, 502},
		"a bare LF":                           {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", nil, 502},
		"both framings":                       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", stay, 502},
		"two lengths":                         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", stay, 502},
		"a protocol that nobody asked for":    {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", stay, 502},
		"an answer before the answer":         {"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", stay, 502},
		"a status that is none":               {"HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\nok", stay, 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := hostile(t, c.raw, c.after)
			g := start(t, x.addr(), service(func(s *model.Service) { s.Timeouts.Response = model.Duration(700 * time.Millisecond) }))
			for _, method := range []string{"GET", "POST", "PUT"} {
				began := time.Now()
				cl := g.client()
				cl.send(method + " / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				var h heard
				for h = cl.must(method); h.StatusCode < 200; {
					h = cl.must(method)
				}
				if h.StatusCode != c.status || h.Header.Get("Content-Type") != "application/problem+json" || h.err != nil {
					t.Errorf("%s: %s %q", method, h.Status, h.body)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("%s took %v", method, took)
				}
				// The client's connection goes on, in step.
				for h = cl.must("GET"); h.StatusCode < 200; {
					h = cl.must("GET")
				}
				if h.StatusCode != c.status || cl.ended() != nil {
					t.Errorf("%s: behind it %s", method, h.Status)
				}
				_ = cl.Close()
			}
		})
	}
}

// drip sends s in pieces: lines, or what stands between NULs.
func drip(c net.Conn, s string, pause time.Duration) {
	parts := strings.SplitAfter(s, "\n")
	if strings.HasPrefix(s, "\x00") {
		parts = strings.Split(s[1:], "\x00")
	}
	for _, p := range parts {
		if _, err := io.WriteString(c, p); err != nil {
			return
		}
		time.Sleep(pause)
	}
}

func TestACutAnswerNeverEndsCleanly(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	for name, raw := range map[string]string{
		"a length":                   head + "Content-Length: 10\r\n\r\nhello",
		"a length, and no body":      head + "Content-Length: 10\r\n\r\n",
		"a long one":                 head + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 500_000),
		"within a chunk":             head + "Transfer-Encoding: chunked\r\n\r\n10\r\nhello",
		"behind a chunk":             head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"before the trailers' end":   head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		"within a trailer":           head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
		"a chunk that is none":       head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n",
		"trailers without end":       head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + strings.Repeat("Host: x\r\n", 1_000_000),
		"one trailer without end":    head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: " + strings.Repeat("y", 10<<20),
		"chunks that are extensions": head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;a="+strings.Repeat("b", 200)+"\r\nx\r\n", 1000),
	} {
		for way, after := range map[string]func(net.Conn){"closes": nil, "resets": reset} {
			for _, version := range []string{"1.1", "1.0"} {
				for _, path := range []string{"direct", "general"} {
					t.Run(name+", "+way+", HTTP/"+version+", "+path, func(t *testing.T) {
						t.Parallel()
						x := hostile(t, raw, after)
						g := start(t, x.addr())
						c := g.client()
						body := "Content-Length: 3\r\n\r\nabc"
						if path == "general" {
							body = "Content-Length: 3\r\n\r\n"
						}
						c.send("POST / HTTP/" + version + "\r\nHost: x\r\n" + body)
						if path == "general" {
							time.Sleep(10 * time.Millisecond)
							c.send("abc")
						}
						b, err := io.ReadAll(c.r)
						if err == nil && !strings.HasPrefix(string(b), "HTTP/1.1 502 ") {
							t.Errorf("a clean end behind %d bytes: %.300q", len(b), b)
						}
						if strings.Contains(string(b), "\r\n0\r\n") {
							t.Error("the last chunk was sent")
						}
					})
				}
			}
		}
	}
}

func TestWhatATargetSendsUnaskedReachesNobody(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: 1\r\n\r\npoison"
	for name, raw := range map[string]string{
		"behind a length":         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"behind chunks":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"behind 204":              "HTTP/1.1 204 No Content\r\n\r\n",
		"behind 304":              "HTTP/1.1 304 Not Modified\r\nContent-Length: 60\r\n\r\n",
		"behind the head of HEAD": "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n",
	} {
		for _, atOnce := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", at once ", atOnce), func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				conns := 0
				heard, poisoned := make(chan bool), make(chan bool)
				x := rawTarget(t, func(c net.Conn) {
					mu.Lock()
					conns++
					mu.Unlock()
					r := bufio.NewReader(c)
					for {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						if req.URL.Path == "/victim" {
							_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhonest")
							continue
						}
						if atOnce {
							_, _ = io.WriteString(c, raw+poison)
							continue
						}
						_, _ = io.WriteString(c, raw)
						<-heard
						_, _ = io.WriteString(c, poison)
						poisoned <- true
					}
				})
				g := start(t, x.addr())
				method := "GET"
				if strings.Contains(name, "HEAD") {
					method = "HEAD"
				}
				for range 20 {
					a, b := g.client(), g.client()
					a.send(method + " /attack HTTP/1.1\r\nHost: x\r\n\r\n")
					a.must(method)
					if !atOnce {
						heard <- true
						<-poisoned
					}
					b.send("GET /victim HTTP/1.1\r\nHost: x\r\n\r\n")
					if h := b.must("GET"); h.body != "honest" || h.Header.Get("X-Poison") != "" {
						t.Fatalf("the victim heard %s %q", h.Status, h.body)
					}
					a.send("GET /victim HTTP/1.1\r\nHost: x\r\n\r\n")
					if h := a.must("GET"); h.body != "honest" {
						t.Fatalf("the attacker's own connection heard %q", h.body)
					}
					_, _ = a.Close(), b.Close()
				}
				mu.Lock()
				defer mu.Unlock()
				if conns < 20 {
					t.Errorf("%d connections: one that said too much was used again", conns)
				}
			})
		}
	}
}

func TestAnAnswerThatComesInPiecesIsTheSameAnswer(t *testing.T) {
	raw := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 300) +
		"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n"
	want := ""
	for _, step := range []int{len(raw), 1, 2, 3, 5, 7, 11, 40, 64, 100} {
		x := rawTarget(t, func(c net.Conn) {
			_ = c.(*net.TCPConn).SetNoDelay(true)
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			for i := 0; i < len(raw); i += step {
				_, _ = io.WriteString(c, raw[i:min(i+step, len(raw))])
				time.Sleep(200 * time.Microsecond)
			}
			stay(c)
		})
		g := start(t, x.addr())
		c := g.client()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		got := ""
		for range 3 {
			h := c.must("GET")
			h.Header.Del("Date")
			h.Header.Del("X-Request-Id")
			got += fmt.Sprint(h.StatusCode, h.Header, h.body, h.Trailer, h.err)
		}
		if want == "" {
			want = got
		}
		if got != want || !strings.Contains(got, "hello world") {
			t.Errorf("in pieces of %d: %s, want %s", step, got, want)
		}
	}
}

func TestFieldsOfAnAnswerAreEditedAndCleaned(t *testing.T) {
	x := newTarget(t, func(_ int, s seen) answer {
		return answer{raw: "HTTP/1.1 200 OK\r\nX-Gone: 1\r\nx-set: theirs\r\nX-Set: theirs too\r\nSet-Cookie: __Host-sallyport=stolen; Path=/\r\n" +
			"Set-Cookie:   __host-SALLYPORT-csrf=stolen\r\nSet-Cookie: a=b\r\nAccess-Control-Allow-Origin: *\r\nX-Request-Id: 1\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok"}
	})
	edit := route(func(r *model.Route) {
		r.Edit.Response.Remove = []string{"X-Gone"}
		r.Edit.Response.Set = map[string]string{"X-Set": "ours"}
		r.CORS = &model.CORS{Origins: []string{"https://a.example"}}
	})
	for name, body := range map[string]string{"direct": "", "general": "Transfer-Encoding: chunked\r\n"} {
		g := start(t, x.addr(), edit)
		end := ""
		if body != "" {
			end = "0\r\n\r\n"
		}
		all, _ := g.talk("POST / HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n" + body + "\r\n" + end)
		if len(all) != 1 {
			t.Fatal(name, all)
		}
		h := all[0].Header
		if h.Get("X-Gone") != "" || fmt.Sprint(h["X-Set"]) != "[ours]" || fmt.Sprint(h["Set-Cookie"]) != "[a=b]" || len(h["X-Request-Id"]) != 1 || len(h.Get("X-Request-Id")) != 32 ||
			fmt.Sprint(h["Access-Control-Allow-Origin"]) != "[https://a.example]" || !strings.Contains(fmt.Sprint(h["Vary"]), "Accept") || !strings.Contains(fmt.Sprint(h["Vary"]), "Origin") {
			t.Errorf("%s: %v", name, h)
		}
	}
}
