//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// seen is one request as a backend saw it.
type seen struct {
	Method, URI, Host, Proto string
	Header                   http.Header
	Trailer                  http.Header
	Body                     string
	Length                   int64
}

// backend is an HTTP server that keeps what it saw: each request as net/http read
// it, and every byte of every connection as it came.
type backend struct {
	URL     string
	Address string
	server  *http.Server

	mu       sync.Mutex
	requests []seen
	raw      []*recording
}

// newBackend serves handle; nil answers with what was seen, as JSON. A backend
// speaks HTTP/1.1 and, with prior knowledge, HTTP/2.
func newBackend(t testing.TB, handle http.HandlerFunc) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{Address: l.Addr().String(), URL: "http://" + l.Addr().String()}
	if handle == nil {
		handle = b.echo
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	b.server = &http.Server{Handler: handle, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = b.server.Serve(&recordingListener{l, b}) }()
	t.Cleanup(func() {
		_ = b.server.Close()
		<-done
	})
	return b
}

// note keeps a request, its body read to the end.
func (b *backend) note(r *http.Request) seen {
	body, _ := io.ReadAll(r.Body)
	s := seen{r.Method, r.RequestURI, r.Host, r.Proto, r.Header.Clone(), r.Trailer.Clone(), string(body), r.ContentLength}
	b.mu.Lock()
	b.requests = append(b.requests, s)
	b.mu.Unlock()
	return s
}

func (b *backend) echo(w http.ResponseWriter, r *http.Request) {
	s := b.note(r)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

// saw are the requests so far.
func (b *backend) saw() []seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]seen(nil), b.requests...)
}

// last is the newest request.
func (b *backend) last(t testing.TB) seen {
	t.Helper()
	all := b.saw()
	if len(all) == 0 {
		t.Fatal("the backend saw no request")
	}
	return all[len(all)-1]
}

// forget forgets the requests, not the bytes.
func (b *backend) forget() {
	b.mu.Lock()
	b.requests = nil
	b.mu.Unlock()
}

// bytes are all that came, connection after connection.
func (b *backend) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []byte
	for _, r := range b.raw {
		r.mu.Lock()
		out = append(append(out, r.b.Bytes()...), '\n')
		r.mu.Unlock()
	}
	return out
}

// received says whether a text came in any byte of any connection, in any case.
func (b *backend) received(text string) bool {
	return bytes.Contains(bytes.ToLower(b.bytes()), bytes.ToLower([]byte(text)))
}

// asked is the request as the backend's echo shows it in an answer.
func (a *answer) asked(t testing.TB) (s seen) {
	t.Helper()
	a.into(t, &s)
	return s
}

type recordingListener struct {
	net.Listener
	b *backend
}

func (l *recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := &recording{Conn: c}
	l.b.mu.Lock()
	l.b.raw = append(l.b.raw, r)
	l.b.mu.Unlock()
	return r, nil
}

// recordedBytes bounds what is kept of a connection: large bodies are not evidence.
const recordedBytes = 4 << 20

// recording is a connection that keeps what was read from it.
type recording struct {
	net.Conn
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	if r.b.Len() < recordedBytes {
		r.b.Write(p[:n])
	}
	r.mu.Unlock()
	return n, err
}

// rawBackend serves connections by hand: for answers that no library would send.
// talk is called for each connection, which is closed when it returns.
func rawBackend(t testing.TB, talk func(c net.Conn, r *bufio.Reader)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				defer stop()
				defer func() { _ = c.Close() }()
				talk(c, bufio.NewReader(c))
			})
		}
	})
	return "http://" + l.Addr().String()
}

// head reads the head of a request from a connection.
func head(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}
