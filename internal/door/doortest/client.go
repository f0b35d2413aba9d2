package doortest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Client is the standard library's, and follows nothing.
func (g *Rig) Client() *http.Client { return g.client(g.HTTP2) }

func (g *Rig) client(http2 bool) *http.Client {
	tr := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!http2)
	tr.Protocols.SetHTTP2(http2)
	tr.Protocols.SetUnencryptedHTTP2(http2)
	if g.Roots != nil {
		tr.TLSClientConfig = &tls.Config{RootCAs: g.Roots, ServerName: "localhost"}
	}
	g.T.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// URL is that of a path at the door.
func (g *Rig) URL(path string) string {
	if g.Roots != nil {
		return "https://" + g.Host + path
	}
	return "http://" + g.Host + path
}

// Dial connects as a client of the protocol does; over TLS the handshake comes with
// the first byte.
func (g *Rig) Dial(protocol string) net.Conn {
	g.T.Helper()
	c, err := net.Dial("tcp", g.Host)
	if err != nil {
		g.T.Fatal(err)
	}
	if g.Roots != nil {
		c = tls.Client(c, &tls.Config{RootCAs: g.Roots, ServerName: "localhost", NextProtos: []string{protocol}})
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	g.T.Cleanup(func() { _ = c.Close() })
	return c
}

// talk sends bytes of HTTP/1.1 as they are and reads the answer.
func (g *Rig) talk(raw string) (*http.Response, string, error) {
	g.T.Helper()
	c := g.Dial("http/1.1")
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, raw); err != nil {
		return nil, "", err
	}
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

// Read reads an answer whole.
func Read(t testing.TB, res *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
