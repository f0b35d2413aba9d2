package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts a listener on a free port whose handler answers with the facts of
// the handshake.
func open(t *testing.T, c Config, o Options) *Listener {
	t.Helper()
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	l, err := Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, Handlers{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var f *model.TLSFacts
		if r.TLS != nil {
			f = l.Facts(r.TLS)
		}
		answer := map[string]any{"proto": r.Proto, "resumed": r.TLS != nil && r.TLS.DidResume}
		if f != nil {
			answer["fault"], answer["has"], answer["sni"] = f.CertificateFault, f.Certificate != nil, f.ServerName
		}
		_ = json.NewEncoder(w).Encode(answer)
	})})
	return l
}

func serve(t *testing.T, l *Listener, h Handlers) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- l.Serve(h) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

type seen struct {
	Proto, Fault, SNI string
	Has, Resumed      bool
	Serial            string
}

func call(t *testing.T, l *Listener, c *tls.Config) (seen, error) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get("https://" + l.Addr().String() + "/")
	if err != nil {
		return seen{}, err
	}
	defer func() { _ = res.Body.Close() }()
	var s seen
	err = json.NewDecoder(res.Body).Decode(&s)
	s.Serial = res.TLS.PeerCertificates[0].SerialNumber.String()
	return s, err
}

func TestCertificatesAreChosenByServerName(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{
		putPair(t, dir, "a", ca.server(11, "a.example.com", "127.0.0.1")),
		putPair(t, dir, "b", ca.server(12, "b.example.com")),
		putPair(t, dir, "w", ca.server(13, "*.wild.example.com")),
	}}}, Options{})
	for name, want := range map[string]string{"a.example.com": "11", "B.example.com": "12", "x.wild.example.com": "13",
		"unknown.example.org": "11", "a.b.wild.example.com": "11"} {
		s, err := call(t, l, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil || s.Serial != want {
			t.Errorf("%s: got certificate %s, %v; want %s", name, s.Serial, err, want)
		}
		if s.Proto != "HTTP/2.0" {
			t.Errorf("%s: spoke %s", name, s.Proto)
		}
	}
}

// Caddy 1fed03223: a client certificate asked for under one name counted for another.
func TestAHostOfAnotherCertificateIsMisdirected(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{
		putPair(t, dir, "a", ca.server(1, "a.example.com", "also.example.com")),
		putPair(t, dir, "b", ca.server(2, "b.example.com")),
	}}}, Options{})
	for _, c := range []struct {
		sni, host string
		want      bool
	}{
		{"a.example.com", "a.example.com", false},
		{"a.example.com", "A.Example.Com.:8443", false},
		{"a.example.com", "also.example.com", false},
		{"a.example.com", "b.example.com", true},
		{"b.example.com", "a.example.com:443", true},
		{"", "b.example.com", false},
		{"a.example.com", "elsewhere.org", false},
		{"elsewhere.org", "b.example.com", true},
		{"elsewhere.org", "a.example.com", false},
	} {
		if got := l.Misdirected(c.sni, c.host); got != c.want {
			t.Errorf("server name %q, host %q: %v", c.sni, c.host, got)
		}
	}
}

func TestChangedFilesAreTakenUpAndBrokenOnesRefused(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	p := putPair(t, dir, "s", ca.server(1, "localhost"))
	var log syncBuffer
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{p}}}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	conf := &tls.Config{ServerName: "localhost", RootCAs: ca.pool()}
	expect := func(serial string) {
		t.Helper()
		if s, err := call(t, l, conf); err != nil || s.Serial != serial {
			t.Fatalf("got certificate %s, %v; want %s", s.Serial, err, serial)
		}
	}
	expect("1")
	second := ca.server(2, "localhost")
	put(t, dir, "s.crt", certPEM(second)) // the key still belongs to the first
	err := l.Reload()
	if err == nil || !strings.Contains(err.Error(), "does not belong to the certificate") {
		t.Fatalf("a pair that does not fit: %v", err)
	}
	_ = l.Reload()
	if n := strings.Count(log.String(), "refused"); n != 1 {
		t.Errorf("the refusal was logged %d times", n)
	}
	expect("1")
	put(t, dir, "s.key", keyPEM(t, second))
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	expect("2")
	put(t, dir, "s.crt", []byte("rubbish"))
	if err := l.Reload(); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
		t.Fatalf("rubbish: %v", err)
	}
	if err := os.Remove(p.Key); err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(); err == nil {
		t.Fatal("a missing key was taken")
	}
	expect("2")
}

func TestSymlinkSwapsAreSeenByThemselves(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	for i, name := range []string{"v1", "v2"} {
		d := filepath.Join(dir, name)
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		putPair(t, d, "tls", ca.server(int64(i+1), "localhost"))
	}
	// Kubernetes mounts ..data as a symlink and swaps it.
	now := filepath.Join(dir, "..data")
	if err := os.Symlink("v1", now); err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{{filepath.Join(now, "tls.crt"), filepath.Join(now, "tls.key")}}}}, Options{})
	if err := os.Symlink("v2", now+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(now+".new", now); err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{ServerName: "localhost", RootCAs: ca.pool()}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s, err := call(t, l, conf)
		if err != nil {
			t.Fatal(err)
		}
		if s.Serial == "2" {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the new certificate was not taken up")
		}
	}
}

func TestRotationFailsNoHandshake(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	link := filepath.Join(dir, "now")
	swap := func(i int64) {
		d := filepath.Join(dir, fmt.Sprint("v", i))
		_ = os.Mkdir(d, 0o700)
		putPair(t, d, "tls", ca.server(i, "localhost"))
		_ = os.Symlink(d, link+".new")
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	swap(1)
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{{filepath.Join(link, "tls.crt"), filepath.Join(link, "tls.key")}}}}, Options{})
	stop, done := make(chan struct{}), make(chan int)
	for range 2 {
		go func() {
			n := 0
			defer func() { done <- n }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: "localhost", RootCAs: ca.pool()})
				if err != nil {
					t.Errorf("handshake: %v", err)
					return
				}
				_ = c.Close()
				n++
			}
		}()
	}
	for i := range int64(20) {
		swap(i + 2)
		if err := l.Reload(); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	if n := <-done + <-done; n < 20 {
		t.Errorf("only %d handshakes", n)
	}
}

func TestSelfSignedIsTrustedByItsOwnAuthorityAcrossStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	conf := Config{TLS: &TLS{SelfSigned: true, Names: []string{"api.test", "192.0.2.1", "0.0.0.0"}, Dir: dir}}
	l := open(t, conf, Options{})
	pool := func() *x509.CertPool {
		b, err := os.ReadFile(CAFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		p := x509.NewCertPool()
		p.AppendCertsFromPEM(b)
		return p
	}()
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "api.test", "192.0.2.1"} {
		if _, err := call(t, l, &tls.Config{ServerName: name, RootCAs: pool}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	again := open(t, conf, Options{})
	if _, err := call(t, again, &tls.Config{ServerName: "localhost", RootCAs: pool}); err != nil {
		t.Errorf("after a second start: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, caKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the CA's key has mode %v, %v", info.Mode(), err)
	}
}

func TestASelfSignedCertificateIsRenewedBeforeItExpires(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Now()
	l := open(t, Config{TLS: &TLS{SelfSigned: true, Dir: dir}}, Options{Now: func() time.Time { return now }})
	first := l.live.Load().certs[0].Leaf.NotAfter
	now = now.Add(70 * 24 * time.Hour)
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	if second := l.live.Load().certs[0].Leaf.NotAfter; !second.After(first) {
		t.Error("it was not renewed")
	}
}

func TestBrokenFilesAreToldApartAndAllAtOnce(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	a, b := ca.server(1, "a"), ca.server(2, "b")
	good := putPair(t, dir, "good", a)
	other := putPair(t, dir, "other", b)
	empty := put(t, dir, "empty", nil)
	enc := put(t, dir, "enc.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	for name, c := range map[string]struct {
		tls  TLS
		want []string
	}{
		"a missing file is named":    {TLS{Certificates: []Pair{{filepath.Join(dir, "none.crt"), good.Key}}}, []string{"tls.certificates[0].cert", "none.crt"}},
		"a key of another":           {TLS{Certificates: []Pair{{good.Cert, other.Key}}}, []string{"does not belong to the certificate"}},
		"an empty certificate":       {TLS{Certificates: []Pair{{empty, good.Key}}}, []string{"holds no PEM certificate"}},
		"an empty key":               {TLS{Certificates: []Pair{{good.Cert, empty}}}, []string{"holds no PEM private key"}},
		"an encrypted key":           {TLS{Certificates: []Pair{{good.Cert, enc}}}, []string{"encrypted"}},
		"no certificate at all":      {TLS{}, []string{"no certificate"}},
		"a CA file without a CA":     {TLS{Certificates: []Pair{good}, ClientCA: empty}, []string{"tls.clientCA"}},
		"a list without a CA":        {TLS{Certificates: []Pair{good}, ClientCRL: empty}, []string{"without a tls.clientCA"}},
		"a list that is none":        {TLS{Certificates: []Pair{good}, ClientCA: good.Cert, ClientCRL: good.Cert}, []string{"holds no revocation list"}},
		"two faults are both listed": {TLS{Certificates: []Pair{{good.Cert, other.Key}, {empty, good.Key}}}, []string{"certificates[0]", "certificates[1]"}},
	} {
		_, err := Open(Config{Address: "127.0.0.1:0", TLS: &c.tls}, Options{})
		if err == nil {
			t.Errorf("%s: opened", name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", name, err, w)
			}
		}
	}
}

func TestMinVersionIsKept(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "ca")
	p := putPair(t, dir, "s", ca.server(1, "localhost"))
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{p}, MinVersion: tls.VersionTLS13}}, Options{})
	if _, err := call(t, l, &tls.Config{ServerName: "localhost", RootCAs: ca.pool(), MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 got in")
	}
	if _, err := call(t, l, &tls.Config{ServerName: "localhost", RootCAs: ca.pool()}); err != nil {
		t.Error(err)
	}
}

func TestPlainHTTPToATLSPortIsToldSo(t *testing.T) {
	l := open(t, Config{TLS: &TLS{SelfSigned: true, Dir: t.TempDir()}}, Options{})
	res, err := http.Get("http://" + l.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != 400 || !bytes.Contains(b, []byte("https")) {
		t.Errorf("%d %s", res.StatusCode, b)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func dial(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
