package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

type netConn = net.Conn

func newListener(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// clientPair is a self-signed client certificate.
func clientPair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := x509.MarshalPKCS8PrivateKey(k)
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", b)
}

func TestTLSOfTargetsIsCheckedAndMutual(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.TLS.ServerName, " ", len(r.TLS.PeerCertificates))
	}))
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	ca := pemOf("CERTIFICATE", srv.Certificate().Raw)
	cert, key := clientPair(t)
	for name, c := range map[string]struct {
		edit func(*model.Service)
		want string
		code model.Code
	}{
		"no CA is named":           {func(s *model.Service) {}, "", model.UpstreamUnreachable},
		"the CA is named":          {func(s *model.Service) { s.TLS.CA = ca }, "HTTP/2.0  0", ""},
		"http1 alone":              {func(s *model.Service) { s.TLS.CA, s.Protocol = ca, model.HTTP1 }, "HTTP/1.1  0", ""},
		"http2 alone":              {func(s *model.Service) { s.TLS.CA, s.Protocol = ca, model.HTTP2 }, "HTTP/2.0  0", ""},
		"a name of the target's":   {func(s *model.Service) { s.TLS.CA, s.TLS.ServerName = ca, "example.com" }, "HTTP/2.0 example.com 0", ""},
		"a name of another":        {func(s *model.Service) { s.TLS.CA, s.TLS.ServerName = ca, "other.org" }, "", model.UpstreamUnreachable},
		"a certificate of our own": {func(s *model.Service) { s.TLS.CA, s.TLS.Cert, s.TLS.Key = ca, cert, key }, "HTTP/2.0  1", ""},
		"rubbish for a CA":         {func(s *model.Service) { s.TLS.CA = "rubbish" }, "", model.UpstreamUnreachable},
	} {
		s := service(srv.URL)
		c.edit(s)
		p := pools(t, s, Options{})
		_, body, err := send(t, p, s, get("/"))
		if body != c.want || code(err) != c.code {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if faults := Check(s, "services[0].tls"); (len(faults) > 0) != strings.HasPrefix(s.TLS.CA, "rubbish") {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

func TestHTTP2IsSpokenWithPriorKnowledge(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Proto, " ", r.Host, " ", r.RequestURI, " ", string(b), " ", r.Trailer.Get("X-Sum"), " ", r.Header.Get("Te"))
	}))
	var pr http.Protocols
	pr.SetUnencryptedHTTP2(true)
	srv.Config.Protocols = &pr
	srv.Start()
	defer srv.Close()
	s := service(srv.URL)
	s.Protocol = model.HTTP2
	p := pools(t, s, Options{})
	r := post("body")
	r.Length, r.Trailers = -1, true
	r.Declared = []string{"X-Sum"}
	r.Trailer = func() []model.Field { return []model.Field{{Name: "X-Sum", Value: "42"}} }
	if _, body, err := send(t, p, s, r); err != nil || body != "HTTP/2.0 api.example.com /orders body 42 trailers" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestTrailersAndInterimAnswersPassBothWays(t *testing.T) {
	seen := make(chan string, 1)
	b := newRaw(t, func(c net.Conn, r *bufio.Reader, head string) {
		req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), r)))
		if err != nil {
			t.Error(err)
			return
		}
		body, _ := io.ReadAll(req.Body)
		seen <- fmt.Sprint(string(body), " ", req.Trailer.Get("X-Declared"), " ", req.Trailer.Get("X-Late"))
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+
			"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Extra: 8\r\n\r\n")
	})
	s := service(b.url())
	p := pools(t, s, Options{})
	r := post("hello")
	r.Length = -1
	r.Declared = []string{"X-Declared"}
	r.Trailer = func() []model.Field {
		return []model.Field{{Name: "X-Declared", Value: "1"}, {Name: "X-Late", Value: "2"}}
	}
	var interim []string
	r.Inform = func(status int, f http.Header) { interim = append(interim, fmt.Sprint(status, f.Get("Link"))) }
	res, err := p.Forward(context.Background(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := res.Trailer()["X-Sum"]; !ok {
		t.Error("the declared trailer is not known before the body")
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "ok" {
		t.Errorf("%q, %v", b, err)
	}
	_ = res.Body.Close()
	if tr := res.Trailer(); tr.Get("X-Sum") != "7" || tr.Get("X-Extra") != "8" {
		t.Errorf("trailers %v", tr)
	}
	if got := <-seen; got != "hello 1 2" {
		t.Errorf("the target saw %q", got)
	}
	if got := strings.Join(interim, ","); got != "103</style.css>,102" {
		t.Errorf("interim answers %s", got)
	}
}

func TestAnIdempotentRequestGoesToAnotherTargetWithItsBody(t *testing.T) {
	bad := newRaw(t, func(c net.Conn, r *bufio.Reader, _ string) {
		_, _ = io.CopyN(io.Discard, r, 3)
		closed(c)
	})
	var seen atomic.Int64
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	defer good.Close()
	s := service(bad.url(), good.URL)
	s.Balance = model.RoundRobin
	p := pools(t, s, Options{})
	for i := range 6 {
		r := post(fmt.Sprint("body", i))
		r.Method = "PUT"
		if i%2 == 1 {
			r.Length = -1
		}
		if _, body, err := send(t, p, s, r); err != nil || body != fmt.Sprint("body", i) {
			t.Fatalf("%d: %q, %v", i, body, err)
		}
	}
	if seen.Load() != 6 || bad.heads.Load() == 0 {
		t.Errorf("good saw %d, bad %d", seen.Load(), bad.heads.Load())
	}
	// What is too large to keep is not sent again.
	for range 4 {
		big := bytes.Repeat([]byte("x"), keep+1)
		r := &Request{Method: "PUT", Target: "/", Body: bytes.NewReader(big), Length: int64(len(big))}
		before := bad.heads.Load()
		_, body, err := send(t, p, s, r)
		if bad.heads.Load() > before && err == nil {
			t.Fatalf("a torn body was sent again, %d bytes", len(body))
		}
	}
}

func TestASlowUploadIsNotTheTargetsFault(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer srv.Close()
	s := service(srv.URL)
	s.Timeouts.Response = model.Duration(150 * time.Millisecond)
	p := pools(t, s, Options{})
	pr, pw := io.Pipe()
	go func() {
		for i := range 6 {
			_, _ = fmt.Fprint(pw, i)
			time.Sleep(70 * time.Millisecond)
		}
		_ = pw.Close()
	}()
	if _, body, err := send(t, p, s, &Request{Method: "POST", Target: "/", Body: pr, Length: -1}); err != nil || body != "012345" {
		t.Errorf("%q, %v", body, err)
	}
}

// endless is a body that never ends and is always ready.
type endless struct{ n atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) { e.n.Add(int64(len(p))); return len(p), nil }

func TestATargetThatStopsReadingTimesOut(t *testing.T) {
	stop := make(chan struct{})
	b := newRaw(t, func(net.Conn, *bufio.Reader, string) { <-stop })
	defer close(stop)
	s := service(b.url())
	s.Timeouts.Response = model.Duration(200 * time.Millisecond)
	p := pools(t, s, Options{})
	start := time.Now()
	_, _, err := send(t, p, s, &Request{Method: "PUT", Target: "/", Body: &endless{}, Length: -1})
	if code(err) != model.UpstreamTimeout || time.Since(start) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if b.heads.Load() != 1 {
		t.Errorf("it was sent %d times", b.heads.Load())
	}
}

func TestABodyThatFailsAbortsTheRequest(t *testing.T) {
	ended := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	}))
	defer srv.Close()
	s := service(srv.URL)
	p := pools(t, s, Options{})
	for _, length := range []int64{-1, 10} {
		mine := errors.New("too large, say")
		_, _, err := send(t, p, s, &Request{Method: "PUT", Target: "/", Body: io.MultiReader(strings.NewReader("half"), failing{mine}), Length: length})
		if !errors.Is(err, mine) {
			t.Errorf("length %d: %v", length, err)
		}
		if err := <-ended; err == nil {
			t.Errorf("length %d: the target saw a clean end", length)
		}
	}
	// A declared length that is not kept is not ended cleanly either.
	_, _, err := send(t, p, s, &Request{Method: "PUT", Target: "/", Body: strings.NewReader("half"), Length: 10})
	if err == nil || <-ended == nil {
		t.Errorf("a short body passed: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestACallerThatGoesAwayEndsTheRequestAtTheTarget(t *testing.T) {
	gone := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	}))
	defer srv.Close()
	s := service(srv.URL)
	p := pools(t, s, Options{})
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("cut")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	_, err := p.Forward(ctx, s, get("/"))
	if !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	<-gone
	if !p.Status()[0].Healthy {
		t.Error("the target was blamed")
	}
}

func TestAnUpgradeGivesTheConnection(t *testing.T) {
	b := newRaw(t, func(c net.Conn, r *bufio.Reader, head string) {
		if !strings.Contains(head, "Upgrade: websocket\r\n") || !strings.Contains(head, "Connection: Upgrade\r\n") {
			_, _ = io.WriteString(c, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(c, r)
		closed(c)
	})
	s := service(b.url())
	p := pools(t, s, Options{})
	r := get("/")
	r.Upgrade = "websocket"
	res, err := p.Forward(context.Background(), s, r)
	if err != nil || res.Tunnel == nil {
		t.Fatalf("%+v, %v", res, err)
	}
	_, _ = res.Tunnel.Write([]byte("ping"))
	buf := make([]byte, 4)
	if _, err := io.ReadFull(res.Tunnel, buf); err != nil || string(buf) != "ping" {
		t.Errorf("%q, %v", buf, err)
	}
	if err := res.Tunnel.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := res.Tunnel.Read(buf); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	_ = res.Tunnel.Close()
	if n := p.Status()[0].InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
	if status, _, err := send(t, p, s, get("/")); status != 426 {
		t.Errorf("%d, %v", status, err)
	}
}

func TestExpectIsAskedOfTheTarget(t *testing.T) {
	b := newRaw(t, func(c net.Conn, r *bufio.Reader, head string) {
		if !strings.Contains(head, "Expect: 100-continue\r\n") {
			t.Errorf("no Expect in %q", head)
		}
		if strings.HasPrefix(head, "PUT") {
			_, _ = io.WriteString(c, "HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			closed(c)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		_, _ = io.CopyN(io.Discard, r, 4)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	s := service(b.url())
	p := pools(t, s, Options{})
	r := post("body")
	r.Expects = true
	informed := false
	r.Inform = func(int, http.Header) { informed = true }
	if status, _, err := send(t, p, s, r); status != 200 || informed {
		t.Errorf("%d, %v, 100 passed on: %v", status, err, informed)
	}
	src := &endless{}
	put := &Request{Method: "PUT", Target: "/", Body: src, Length: 1 << 30, Expects: true}
	if status, _, err := send(t, p, s, put); status != 413 || src.n.Load() != 0 {
		t.Errorf("%d, %v, %d bytes were taken from the client", status, err, src.n.Load())
	}
}
