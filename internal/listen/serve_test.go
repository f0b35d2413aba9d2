package listen

import (
	"bufio"
	"context"
	"crypto"
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
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// signed is an intermediate CA.
type signed struct {
	cert *x509.Certificate
	key  crypto.PrivateKey
}

func (s *signed) issue(t *testing.T, serial int64) *x509.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: clientUse}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, s.cert, &key.PublicKey, s.key)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := x509.ParseCertificate(der)
	return c
}

func (s *signed) crl(t *testing.T, next time.Time, serials ...int64) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: next}
	for _, n := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, s.cert, s.key.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestAPortInUseIsSaidWithItsRemedy(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	_, err = Open(Config{Address: busy.Addr().String()}, Options{})
	if err == nil || !strings.Contains(err.Error(), busy.Addr().String()) || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"192.0.2.77:0", "nonsense", "127.0.0.1:99999"} {
		if _, err := Open(Config{Address: bad}, Options{}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestMoreConnectionsThanTheLimitAreTurnedAwayAndCounted(t *testing.T) {
	limit := NewCap(2)
	l := open(t, Config{}, Options{Cap: limit})
	for range 2 {
		c := dial(t, l)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
	}
	third := dial(t, l)
	_ = third.SetReadDeadline(time.Now().Add(2 * time.Second))
	if n, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the third connection was not closed: %d, %v", n, err)
	}
	if limit.Refused() != 1 {
		t.Errorf("%d were counted", limit.Refused())
	}
}

func TestAConnectionThatEndsMakesRoom(t *testing.T) {
	for _, own := range []bool{false, true} {
		limit := NewCap(1)
		l, err := Open(Config{Address: "127.0.0.1:0", TLS: &TLS{SelfSigned: true, Dir: t.TempDir()}}, Options{Cap: limit})
		if err != nil {
			t.Fatal(err)
		}
		h := Handlers{HTTP: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		if own {
			h.Conn = func(nc net.Conn, ended func()) {
				defer ended()
				_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				_ = nc.Close()
			}
		}
		serve(t, l, h)
		for i := range 20 {
			for _, proto := range []string{"h2", "http/1.1"} {
				var err error
				for range 100 { // the server notices a close a moment after the client made it
					tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: proto == "h2"}
					if proto != "h2" {
						tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
					}
					var res *http.Response
					if res, err = (&http.Client{Transport: tr}).Get("https://" + l.Addr().String()); err == nil {
						_ = res.Body.Close()
					}
					tr.CloseIdleConnections()
					if err == nil {
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
				if err != nil {
					t.Fatalf("own %v, round %d, %s: %v", own, i, proto, err)
				}
			}
		}
	}
}

func TestSlowHeadsAndHandshakesAreCut(t *testing.T) {
	limits := Limits{HeaderTimeout: 300 * time.Millisecond, IdleTimeout: time.Second}
	plain := open(t, Config{Limits: limits}, Options{})
	secure := open(t, Config{Limits: limits, TLS: &TLS{SelfSigned: true, Dir: t.TempDir()}}, Options{})
	for name, l := range map[string]*Listener{"head": plain, "handshake": secure} {
		c := dial(t, l)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n")
		start := time.Now()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		for _, err := c.Read(make([]byte, 512)); err == nil; _, err = c.Read(make([]byte, 512)) {
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("a slow %s lasted %v", name, d)
		}
	}
}

func TestAClientThatDoesNotReadIsCut(t *testing.T) {
	l, err := Open(Config{Address: "127.0.0.1:0", Limits: Limits{IdleTimeout: 400 * time.Millisecond}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	serve(t, l, Handlers{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1<<20)
		for {
			if _, err := w.Write(b); err != nil {
				ended <- err
				return
			}
		}
	})})
	c := dial(t, l)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the answer was held for ever")
	}
}

func TestADrainLosesNothingThatIsInFlight(t *testing.T) {
	l, err := Open(Config{Address: "127.0.0.1:0"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var draining atomic.Bool
	started := make(chan struct{})
	serve(t, l, Handlers{Drain: func() { draining.Store(true) }, HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		if r.URL.Path == "/slow" {
			close(started)
			for i := range 10 {
				fmt.Fprintf(w, "%d\n", i)
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		}
	})})
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	got := make(chan string, 1)
	go func() {
		res, err := client.Get("http://" + l.Addr().String() + "/slow")
		if err != nil {
			got <- err.Error()
			return
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		got <- fmt.Sprint(len(b), err)
	}()
	<-started
	// A kept-alive connection whose client is about to send again.
	kept := dial(t, l)
	r := bufio.NewReader(kept)
	_, _ = io.WriteString(kept, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- l.Drain(context.Background()) }()
	time.Sleep(100 * time.Millisecond)
	_, _ = io.WriteString(kept, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("a request on a kept-alive connection was lost: %v", err)
	}
	if !res.Close {
		t.Error("the client was not told to close")
	}
	if s := <-got; s != "20 <nil>" {
		t.Errorf("the download in flight: %s", s)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp", l.Addr().String(), time.Second); err == nil {
		t.Error("it still accepts")
	}
}

func TestADrainThatTakesTooLongCuts(t *testing.T) {
	l, err := Open(Config{Address: "127.0.0.1:0"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	serve(t, l, Handlers{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { close(started); <-r.Context().Done() })})
	c := dial(t, l)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := l.Drain(ctx); err == nil || !strings.Contains(err.Error(), "cut 1 connections") {
		t.Errorf("%v", err)
	}
}

func TestRedirectGoesToHTTPSAndNowhereElse(t *testing.T) {
	ext, _ := url.Parse("https://api.example.com:8443")
	h := Redirect(ext, func(host string) bool { return host == "other.example.com" })
	for _, c := range []struct{ host, target, want string }{
		{"api.example.com", "/a?b=c", "https://api.example.com:8443/a?b=c"},
		{"api.example.com:8080", "/", "https://api.example.com:8443/"},
		{"other.example.com:8080", "/x%2Fy", "https://other.example.com:8443/x%2Fy"},
		{"evil.example.net", "/a", "https://api.example.com:8443/a"},
		{"other.example.com@evil.net", "/a", "https://api.example.com:8443/a"},
		{"api.example.com", "//evil.net/a", "https://api.example.com:8443/"},
		{"api.example.com", `/\evil.net`, "https://api.example.com:8443/"},
		{"api.example.com", "http://evil.net/", "https://api.example.com:8443/"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/", nil)
		r.Host, r.RequestURI = c.host, c.target
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != 308 || got != c.want {
			t.Errorf("%s %s: %d %s", c.host, c.target, w.Code, got)
		}
	}
}

func TestInheritedSocketsAreTakenByTheirAddress(t *testing.T) {
	in, err := Inherit(func(string) string { return "" }, 1)
	if err != nil || in.take("127.0.0.1:1") != nil {
		t.Fatal("something came from nothing")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in.left = append(in.left, ln)
	l, err := Open(Config{Address: ln.Addr().String()}, Options{Inherited: in})
	if err != nil {
		t.Fatalf("the address is ours already: %v", err)
	}
	defer func() { _ = l.Close() }()
	if l.Addr().String() != ln.Addr().String() || len(in.left) != 0 {
		t.Error("another socket was taken")
	}
	if _, err := Inherit(func(k string) string { return map[string]string{"LISTEN_FDS": "1", "LISTEN_PID": "2"}[k] }, 1); err != nil {
		t.Errorf("sockets for another process: %v", err)
	}
}
