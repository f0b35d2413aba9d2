//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// wire is a connection to the proxy on which a test writes what it likes.
type wire struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// wire connects by HTTP/1.1.
func (g *gateway) wire(t testing.TB) *wire {
	t.Helper()
	return dialWire(t, g.proxy, !g.opt.plain, nil)
}

func dialWire(t testing.TB, address string, secure bool, conf *tls.Config) *wire {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		if conf == nil {
			conf = &tls.Config{}
		}
		conf = conf.Clone()
		conf.InsecureSkipVerify = true
		if conf.NextProtos == nil {
			conf.NextProtos = []string{"http/1.1"}
		}
		s := tls.Client(c, conf)
		_ = s.SetDeadline(time.Now().Add(10 * time.Second))
		if err := s.Handshake(); err != nil {
			_ = c.Close()
			t.Fatalf("TLS handshake: %v", err)
		}
		c = s
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return &wire{c, t, bufio.NewReader(c)}
}

func (w *wire) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		w.t.Logf("writing to the gateway: %v", err) // it may have answered and closed already
	}
}

// answer reads one answer, interim ones left out, to the end of its body.
func (w *wire) answer(t testing.TB, method string) *answer {
	t.Helper()
	a, err := w.tryAnswer(method)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return a
}

func (w *wire) tryAnswer(method string) (*answer, error) {
	for {
		res, err := http.ReadResponse(w.r, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if res.StatusCode/100 == 1 && res.StatusCode != 101 {
			continue
		}
		a := &answer{status: res.StatusCode, proto: res.Proto, header: res.Header}
		if res.StatusCode != 101 {
			b, err := io.ReadAll(res.Body)
			if err != nil {
				return nil, err
			}
			a.body, a.trailer = string(b), res.Trailer
		}
		return a, nil
	}
}

// closed waits until the gateway closes the connection, and says whether it did so
// without another answer.
func (w *wire) closed(limit time.Duration) bool {
	_ = w.SetReadDeadline(time.Now().Add(limit))
	b, err := io.ReadAll(w.r)
	ne, timeout := err.(net.Error)
	return len(b) == 0 && !(timeout && ne.Timeout())
}
