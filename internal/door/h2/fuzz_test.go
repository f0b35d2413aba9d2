package h2

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

// reading is what one reader of a client's bytes has taken for whole requests.
type reading struct {
	mu   sync.Mutex
	seen []string
}

func (r *reading) add(method, target, host string, fields []string, body, trailers string) {
	sort.Strings(fields)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf("%s %s %s\n%s\n%q %s", method, target, strings.ToLower(host), strings.Join(fields, "\n"), body, trailers))
}

// frames makes frames of arbitrary bytes: type, flags, stream, length, payload.
func frames(data []byte) []byte {
	out := []byte(http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	for len(data) >= 5 {
		kind, flags, id := data[0]%12, data[1], data[2]%12
		n := min(int(binary.BigEndian.Uint16(data[3:])), len(data)-5)
		out = append(out, byte(n>>16), byte(n>>8), byte(n), kind, flags, 0, 0, 0, id)
		out = append(out, data[5:5+n]...)
		data = data[5+n:]
	}
	return out
}

// listener of the two: everything that a client could send, and a goodbye.
func tell(t *testing.T, sent []byte, serve func(net.Conn)) {
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() { defer close(served); serve(theirs) }()
	fr := http2.NewFramer(io.Discard, ours)
	fr.AllowIllegalReads = true
	fr.SetMaxReadFrameSize(1<<24 - 1)
	heard := make(chan struct{})
	go func() { // until the last PING is answered, or the end
		defer close(heard)
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if p, ok := f.(*http2.PingFrame); ok && p.IsAck() && string(p.Data[:]) == "the last" {
				break
			}
		}
		time.Sleep(2 * time.Millisecond)
	}()
	_ = ours.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := ours.Write(sent); err == nil {
		_, _ = ours.Write(append([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0}, "the last"...))
	}
	<-heard
	_ = ours.Close()
	<-served
}

// listening is a gate that lets everything pass and a way out that takes it.
type listening struct {
	reading
	plan *gate.Plan
}

func (l *listening) Acquire() *gate.Exchange                    { return &gate.Exchange{} }
func (l *listening) Release(*gate.Exchange)                     {}
func (l *listening) Challenges(*gate.Exchange) []string         { return nil }
func (l *listening) Complete(*gate.Exchange, record.Completion) {}
func (l *listening) Decide(_ context.Context, ex *gate.Exchange) {
	ex.Target = ex.Request.Target
	ex.Route = &gate.Route{Model: &model.Route{}, Service: &model.Service{Host: model.HostPreserve}}
	ex.Plan = l.plan
}

func (l *listening) Direct(context.Context, *model.Service, string) (d upstream.Direct, ok bool) {
	return d, false
}

func (l *listening) Forward(_ context.Context, _ *model.Service, r *upstream.Request) (*upstream.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	var fields []string
	for _, f := range r.Fields {
		if f.Name != "trailer" && !(f.Name == "expect" && strings.EqualFold(f.Value, "100-continue")) {
			fields = append(fields, f.Name+": "+f.Value)
		}
	}
	l.add(r.Method, r.Target, r.Host, fields, string(body), "")
	return &upstream.Response{Status: 200, Header: http.Header{}, Body: http.NoBody, Trailer: func() http.Header { return nil }}, nil
}

// library reads the same bytes by the second reader.
func library(t *testing.T, sent []byte) []string {
	var r reading
	h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		var fields []string
		for name, values := range q.Header {
			for _, v := range values {
				if name != "Host" && name != "Expect" || name == "Expect" && !strings.EqualFold(v, "100-continue") {
					fields = append(fields, strings.ToLower(name)+": "+v)
				}
			}
		}
		r.add(q.Method, q.RequestURI, q.Host, fields, string(body), "")
	})
	base := &http.Server{Handler: h}
	//lint:ignore SA1019 it serves one connection that is not a listener's, as a fuzzer has it
	srv := &http2.Server{MaxConcurrentStreams: 250}
	//lint:ignore SA1019 as above
	tell(t, sent, func(nc net.Conn) { srv.ServeConn(nc, &http2.ServeConnOpts{BaseConfig: base, Handler: h}) })
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.seen...)
}

func FuzzConnection(f *testing.F) {
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	block := func(pairs ...string) []byte {
		buf.Reset()
		for i := 0; i+1 < len(pairs); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
		return bytes.Clone(buf.Bytes())
	}
	one := func(kind, flags, id byte, payload []byte) []byte {
		return append([]byte{kind, flags, id, byte(len(payload) >> 8), byte(len(payload))}, payload...)
	}
	f.Add(one(1, 5, 1, block(get...)))
	f.Add(append(one(1, 4, 1, block(with(post, "content-length", "2", "x", "y")...)), one(0, 1, 1, []byte("hi"))...))
	f.Add(append(append(one(1, 4, 3, block(post...)), one(0, 8, 3, []byte("\x02hi..."))...), one(1, 5, 3, block("x-sum", "1"))...))
	f.Add(append(one(1, 1, 1, []byte{0x82}), one(9, 4, 1, block(get[2:]...))...))
	f.Add(append(one(4, 0, 0, setting(4, 1)), one(1, 5, 1, block(with(get, "cookie", "a=1", "cookie", "b=2", "te", "trailers", "host", "x")...))...))
	f.Add(append(one(1, 5, 1, block(with(get, "n", "v")...)), one(1, 5, 5, []byte{0x82, 0x86, 0x84, 0x41, 1, 'y', 0xbe})...))
	f.Add(append(one(1, 4, 1, block(post...)), one(3, 0, 1, []byte{0, 0, 0, 8})...))
	f.Add(append(one(8, 0, 0, []byte{0, 0, 1, 0}), one(2, 0, 5, []byte{0, 0, 0, 0, 9})...))
	g := newComparison(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return
		}
		g.compare(t, frames(data))
	})
}

// comparison lets both readers read.
type comparison struct {
	l      *listening
	server *Server
	panics atomic.Int64
}

func newComparison(f *testing.F) *comparison {
	g := &comparison{}
	plan, faults := gate.Compile(model.NewSet(), gate.Env{ID: "test",
		Methods: func(*model.Set) ([]authn.Method, model.Faults) { return nil, nil }})
	if len(faults) > 0 {
		f.Fatal(faults)
	}
	g.l = &listening{plan: plan}
	g.server = New(Config{}, Deps{Deps: door.Deps{Gate: g.l, Streams: door.NewStreams(time.Now), Now: time.Now, Panicked: func() { g.panics.Add(1) }}, Ways: g.l})
	f.Cleanup(func() { _ = g.server.Shutdown(context.Background()) })
	return g
}

// compare expects that whatever we take for a request, the library takes for the
// same. We may refuse what it accepts, never the reverse.
func (g *comparison) compare(t *testing.T, sent []byte) {
	tell(t, sent, g.server.ServeConn)
	if g.panics.Load() > 0 {
		t.Fatal("a panic")
	}
	g.l.mu.Lock()
	ours := g.l.seen
	g.l.seen = nil
	g.l.mu.Unlock()
	if len(ours) == 0 {
		return
	}
	theirs := library(t, sent)
next:
	for _, o := range ours {
		for i, s := range theirs {
			if o == s {
				theirs = append(theirs[:i], theirs[i+1:]...)
				continue next
			}
		}
		t.Fatalf("taken by us alone:\n%s\nthe library took:\n%s", o, strings.Join(theirs, "\n---\n"))
	}
}

// FuzzHead varies what stands in a head, where FuzzConnection varies how it comes:
// what we accept, the library's reader of heads accepts and reads alike, and it
// keeps the rules that a server has beyond them.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		":method GET\n:scheme https\n:path /a?b\n:authority x:80\ncookie a=1\ncookie b=2",
		":method POST\n:scheme http\n:path /\nhost x\ncontent-length 4\nte trailers\nexpect 100-continue\ntrailer x",
		":method OPTIONS\n:scheme http\n:path *\n:authority x",
		":method CONNECT\n:authority x:443",
		":method GET\n:scheme http\n:path //a/../b;c=%2f\n:authority [::1]\nx-a  b \nX-B c",
		":method GET\n:scheme http\n:path http://y/\n:authority x\nhost y\nconnection close\nupgrade h2c",
	} {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, ended bool) {
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		var ours head
		ours.reset()
		for line := range strings.SplitSeq(text, "\n") {
			name, value, _ := strings.Cut(line, " ")
			_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value})
			ours.add(hpack.HeaderField{Name: name, Value: value})
		}
		ours.settle(ended)
		if block.Len() > 16<<10 || ours.fault != "" || ours.tooLarge {
			return
		}
		var wire bytes.Buffer
		fr := http2.NewFramer(&wire, &wire)
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: ended})
		frame, err := fr.ReadFrame()
		theirs, ok := frame.(*http2.MetaHeadersFrame)
		if err != nil || !ok || theirs.Truncated {
			t.Fatalf("the library refuses %q: %v", text, err)
		}
		plainly(t, &ours, theirs, ended)
	})
}

// plainly holds what we have read against what the library has.
func plainly(t *testing.T, ours *head, theirs *http2.MetaHeadersFrame, ended bool) {
	path := theirs.PseudoValue("path")
	if _, err := url.ParseRequestURI(path); err != nil || path[0] != '/' || strings.ContainsAny(path, "# ") {
		t.Errorf("path %q: %v", path, err)
	}
	var fields []model.Field
	host, cookies, length := theirs.PseudoValue("authority"), -1, int64(-1)
	for _, f := range theirs.RegularFields() {
		switch f.Name {
		case "host":
			if host == "" {
				host = f.Value
			} else if !strings.EqualFold(host, f.Value) {
				t.Errorf("Host %q beside %q", f.Value, host)
			}
			continue
		case "cookie":
			if cookies >= 0 {
				fields[cookies].Value += "; " + f.Value
				continue
			}
			cookies = len(fields)
		case "content-length":
			n, err := strconv.ParseInt(f.Value, 10, 64)
			if err != nil || n < 0 || length >= 0 || ended && n > 0 {
				t.Errorf("Content-Length %q", f.Value)
			}
			length = n
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			t.Errorf("a field of the connection: %s", f.Name)
		case "te":
			if !strings.EqualFold(f.Value, "trailers") {
				t.Errorf("TE %q", f.Value)
			}
		}
		fields = append(fields, model.Field{Name: f.Name, Value: f.Value})
	}
	if !slices.Equal(fields, ours.fields) || host != ours.host || host == "" || length != ours.length {
		t.Errorf("fields %+v, host %q, length %d; the library: %+v, %q, %d", ours.fields, ours.host, ours.length, fields, host, length)
	}
	for i, name := range [...]string{"method", "scheme", "path", "authority"} {
		if v := theirs.PseudoValue(name); v != ours.pseudo[i] || v == "" && name != "authority" {
			t.Errorf(":%s is %q, the library: %q", name, ours.pseudo[i], v)
		}
	}
	if m := theirs.PseudoValue("method"); m == "CONNECT" || !model.ValidToken(m) {
		t.Errorf("method %q", m)
	}
}
