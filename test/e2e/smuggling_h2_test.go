//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is an HTTP/2 connection on which a test writes what it likes.
type frames struct {
	net.Conn
	f    *http2.Framer
	b    bytes.Buffer
	enc  *hpack.Encoder
	next uint32
}

// speakH2 opens a connection and says hello.
func (g *gateway) speakH2(t testing.TB) *frames {
	t.Helper()
	d := &net.Dialer{Timeout: 5 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", g.proxy, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		t.Fatalf("the proxy speaks %q", p)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	w := &frames{Conn: c, next: 1, f: http2.NewFramer(c, c)}
	w.enc = hpack.NewEncoder(&w.b)
	w.f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, _ = c.Write([]byte(http2.ClientPreface))
	_ = w.f.WriteSettings()
	return w
}

type pair struct{ name, value string }

func (w *frames) block(fields []pair) []byte {
	w.b.Reset()
	for _, p := range fields {
		_ = w.enc.WriteField(hpack.HeaderField{Name: p.name, Value: p.value})
	}
	return w.b.Bytes()
}

// ask sends one request. It answers the status and the body; 0 = the stream was
// reset, or the connection ended.
func (w *frames) ask(fields []pair, body string, trailers []pair) (status int, header map[string]string, text string) {
	id := w.next
	w.next += 2
	_ = w.f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.block(fields), EndHeaders: true, EndStream: body == "" && trailers == nil})
	if body != "" {
		_ = w.f.WriteData(id, trailers == nil, []byte(body))
	}
	if trailers != nil {
		_ = w.f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.block(trailers), EndHeaders: true, EndStream: true})
	}
	header = map[string]string{}
	for {
		f, err := w.f.ReadFrame()
		if err != nil {
			return status, header, text
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = w.f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = w.f.WritePing(true, f.Data)
			}
		case *http2.GoAwayFrame:
			return status, header, text + " GOAWAY " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return status, header, text + " RST_STREAM " + f.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				continue
			}
			for _, h := range f.Fields {
				header[h.Name] = h.Value
			}
			if s := f.PseudoValue("status"); s != "" {
				_, _ = fmt.Sscan(s, &status)
			}
			if f.StreamEnded() {
				return status, header, text
			}
		case *http2.DataFrame:
			if f.StreamID != id {
				continue
			}
			text += string(f.Data())
			if n := uint32(len(f.Data())); n > 0 {
				_ = w.f.WriteWindowUpdate(0, n)
				_ = w.f.WriteWindowUpdate(id, n)
			}
			if f.StreamEnded() {
				return status, header, text
			}
		}
	}
}

// twist is a request of HTTP/2 that would hide another one in HTTP/1.1.
type twist struct {
	name     string
	fields   []pair // {P} is the open path, {H} a hidden request
	body     string
	trailers []pair
}

func twists() (out []twist) {
	good := func(method string, more ...pair) []pair {
		return append([]pair{{":method", method}, {":scheme", "https"}, {":authority", "x"}, {":path", "{P}"}}, more...)
	}
	put := func(name, value string) []pair { // one pseudo-field replaced
		f := good("GET")
		for i := range f {
			if f[i].name == name {
				f[i].value = value
			}
		}
		return f
	}
	add := func(name string, fields []pair, body string, trailers ...pair) {
		out = append(out, twist{name, fields, body, trailers})
	}
	const hidden = "GET /hidden/{N} HTTP/1.1\r\nHost: x\r\nX-Swallow: "
	for _, l := range []string{"0", "1", "5", "100", "+5", "-1", "5, 5", "05", "0x5", "", "5 ", "18446744073709551621", "9223372036854775808", "five"} {
		add("content-length: "+l+" and a body", good("POST", pair{"content-length", l}), "hello"+hidden)
		add("content-length: "+l+" and none", good("POST", pair{"content-length", l}), "")
		add("content-length: "+l+" on GET", good("GET", pair{"content-length", l}), "")
	}
	add("two lengths", good("POST", pair{"content-length", "0"}, pair{"content-length", "5"}), "hello")
	for _, v := range []string{"chunked", "Chunked", "identity", "gzip, chunked", "x", ""} {
		add("transfer-encoding: "+v, good("POST", pair{"transfer-encoding", v}), "0\r\n\r\n"+hidden)
		add("transfer-encoding: "+v+" beside a length", good("POST", pair{"transfer-encoding", v}, pair{"content-length", fmt.Sprint(5 + len(hidden))}), "0\r\n\r\n"+hidden)
	}
	for _, p := range []pair{{"connection", "keep-alive"}, {"connection", "close"}, {"connection", "transfer-encoding"}, {"keep-alive", "timeout=5"}, {"proxy-connection", "close"}, {"upgrade", "websocket"}, {"upgrade", "h2c"}, {"te", "chunked"}, {"te", "trailers, chunked"}, {"te", "gzip"}, {"http2-settings", "AAMA"}, {"trailer", "content-length"}, {"expect", "100-continue"}, {"expect", "x"}} {
		add(p.name+": "+p.value, good("POST", p), "0\r\n\r\n"+hidden)
	}
	for _, n := range []string{"X-Upper", "x-a\r\ntransfer-encoding", "x-a\r\n\r\n" + hidden + "x", "x-a\n", "x-a\r", "x\x00a", "x a", "x-a:", "x:a", "", " x", "x\t", "x\xe9", "transfer-encoding ", "content-length\x00", "x-a: b\r\ncontent-length", "x_a(", "\"x\"", "x/a"} {
		add(fmt.Sprintf("name %q", tail(n, 60)), good("POST", pair{n, "chunked"}), "0\r\n\r\n"+hidden)
	}
	for _, v := range []string{"b\r\ntransfer-encoding: chunked", "b\ntransfer-encoding: chunked", "b\rtransfer-encoding: chunked", "b\r\ncontent-length: 0\r\n\r\n" + hidden, "b\r\n\r\n" + hidden, "\x00", "b\x00c", "b\r\n c", "\r\n", "\n", "\x7f", "\x01", " b", "b ", "\tb"} {
		add(fmt.Sprintf("value %q", tail(v, 60)), good("POST", pair{"x-a", v}), "0\r\n\r\n"+hidden)
	}
	for _, m := range []string{"GET /hidden/{N} HTTP/1.1\r\nHost: x\r\n\r\nGET", "GET /hidden/{N}", "GET\r\n", "GET ", " GET", "G ET", "", "get", "GET\x00", "GET\tx", "CONNECT", "TRACE", "PRI", "GE\xe9"} {
		add(fmt.Sprintf(":method %q", m), put(":method", m), "")
		add(fmt.Sprintf(":method %q with a body", m), put(":method", m), hidden)
	}
	for _, p := range []string{"{P} HTTP/1.1\r\nHost: x\r\n\r\nGET /hidden/{N}", "{P}\r\nHost: y", "{P} /hidden/{N}", "{P}\x00", "{P}#/hidden/{N}", "", "hidden/{N}", "http://x/hidden/{N}", "https://x{P}", "//x/hidden/{N}", "*", "{P}\t", "{P}\n", "{P}\r", "{P}\xe9", "?x", "{P}%0d%0aX:%20y", "{P}\\..\\..\\hidden", "{P}/../../hidden/{N}", "{P}/%2e%2e/%2e%2e/hidden/{N}", "/.{P}", "x:443"} {
		add(fmt.Sprintf(":path %q", p), put(":path", p), "")
	}
	for _, s := range []string{"http", "http://x/hidden/{N}?", "", "ftp", "https\r\nx: y", "HTTPS", "https ", "javascript", "https://x/hidden/{N} HTTP/1.1\r\n\r\n"} {
		add(fmt.Sprintf(":scheme %q", s), put(":scheme", s), "")
	}
	for _, a := range []string{"x\r\nContent-Length: 0", "x/hidden/{N}", "x@y", "x y", "", "x\x00", "x,y", "x:80:80", "x#y", "x?y", "x\\y", "x:99999", "[x]", "x\r\n\r\n" + hidden, "X:443", "x."} {
		add(fmt.Sprintf(":authority %q", tail(a, 60)), put(":authority", a), "")
	}
	add("host beside :authority, the same", good("GET", pair{"host", "x"}), "")
	add("host beside :authority, another", good("GET", pair{"host", "y"}), "")
	add("two hosts", good("GET", pair{"host", "x"}, pair{"host", "x"}), "")
	add("host with a line of its own", good("GET", pair{"host", "x\r\nContent-Length: 0"}), "")
	add("host alone", []pair{{":method", "GET"}, {":scheme", "https"}, {":path", "{P}"}, {"host", "x"}}, "")
	add("no host at all", []pair{{":method", "GET"}, {":scheme", "https"}, {":path", "{P}"}}, "")
	add("no method", good("GET")[1:], "")
	add("no path", good("GET")[:3], "")
	add("no scheme", []pair{{":method", "GET"}, {":authority", "x"}, {":path", "{P}"}}, "")
	for _, p := range []pair{{":method", "POST"}, {":path", "/hidden/{N}"}, {":authority", "y"}, {":scheme", "http"}, {":status", "200"}, {":foo", "x"}, {":", "x"}, {":protocol", "websocket"}, {":content-length", "0"}} {
		add("a second or odd pseudo-field "+p.name, append(good("GET"), p), "")
		add("pseudo-field behind others "+p.name, append(good("GET", pair{"x-a", "b"}), p), "")
	}
	add("CONNECT with :protocol", append(put(":method", "CONNECT"), pair{":protocol", "websocket"}, pair{"sec-websocket-version", "13"}), hidden)
	add("CONNECT, short", []pair{{":method", "CONNECT"}, {":authority", "x:443"}}, hidden)
	for _, p := range []pair{{"content-length", "5"}, {"transfer-encoding", "chunked"}, {"host", "y"}, {":path", "/hidden/{N}"}, {"connection", "close"}, {"x-user", "admin"}, {"X-Upper", "x"}, {"x-a", "b\r\nx-c: d"}, {"x-a\r\n", "b"}, {"authorization", "Basic x"}, {"te", "chunked"}, {"x-request-id", "forged"}, {"x-a", "\x00"}, {"", "x"}} {
		add("trailer "+tail(fmt.Sprintf("%q", p.name+": "+p.value), 60), good("POST"), "hello", p)
		add("trailer with no body "+tail(fmt.Sprintf("%q", p.name+": "+p.value), 60), good("POST", pair{"te", "trailers"}, pair{"trailer", p.name}), "", p)
	}
	for _, b := range []string{hidden, "0\r\n\r\n" + hidden, "\r\n" + hidden, "5\r\nhello\r\n0\r\n\r\n" + hidden} {
		for _, m := range []string{"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"} {
			add(m+" with a body of a hidden request", good(m), b)
			add(m+" with a body of a hidden request and its length", good(m, pair{"content-length", fmt.Sprint(len(b))}), b)
		}
	}
	add("many cookies", good("GET", pair{"cookie", "a=b"}, pair{"cookie", "c=d"}, pair{"cookie", "e=f"}), "")
	add("a cookie with a line of its own", good("GET", pair{"cookie", "a=b"}, pair{"cookie", "c=d\r\nContent-Length: 0"}), "")
	add("300 fields", append(good("GET"), manyPairs(300)...), "")
	return out
}

func manyPairs(n int) (out []pair) {
	for i := range n {
		out = append(out, pair{fmt.Sprintf("x-many-%d", i), "v"})
	}
	return out
}

// What HTTP/2 frames, HTTP/1.1 writes as text: what would be text of another
// meaning must not come out of it.
func TestNoRequestOfHTTP2BecomesTwoOfHTTP1(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		all := witnesses(t, "")
		g := maze(t, engine, false, all)
		number := 0
		statuses := map[int]int{}
		for i, w := range all {
			for j, c := range twists() {
				if !soak() && (i+j)%2 == 1 {
					continue
				}
				number++
				fill := strings.NewReplacer("{P}", fmt.Sprintf("/%s/c%d.", w.name, number), "{N}", fmt.Sprint(number))
				filled := func(list []pair) (out []pair) {
					for _, p := range list {
						out = append(out, pair{fill.Replace(p.name), fill.Replace(p.value)})
					}
					return out
				}
				h := g.speakH2(t)
				_ = h.SetDeadline(time.Now().Add(3 * time.Second))
				fields := filled(c.fields)
				for k := range fields {
					if n := len(fill.Replace(c.body)); fields[k].name == "content-length" && fields[k].value == fmt.Sprint(len(c.body)) {
						fields[k].value = fmt.Sprint(n)
					}
				}
				status, header, text := h.ask(fields, fill.Replace(c.body), filled(c.trailers))
				statuses[status]++
				if status >= 500 && status != 501 {
					t.Errorf("%s: %d %s", c.name, status, text)
				}
				if s := header["x-saw"]; s != "" && !strings.Contains(s, fmt.Sprintf("/%s/c%d.", w.name, number)) {
					t.Errorf("%s: the answer of another request came: %q", c.name, s)
				}
				_ = h.Close()
				path := fmt.Sprintf("/%s/v%d.", w.name, number)
				if a := g.get(t, "", path); a.status != 200 || !strings.Contains(a.header.Get("X-Saw"), path) {
					t.Errorf("a good request behind %s: %d %q", c.name, a.status, a.header.Get("X-Saw"))
				}
			}
		}
		quiet(t, all)
		t.Logf("%d cases, by status %v (0 = reset)", number, statuses)
		reconcile(t, g, all, number)
	})
}
