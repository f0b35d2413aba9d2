//go:build e2e

package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/h2/h2test"
)

const openToAll = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
routes: [{name: open, paths: [/], service: api, access: public}]
`

// TestHTTP2IsSpokenAsTheStandardSays holds the gateway to each case of RFC 9113 and
// RFC 7541. It asks for the codes that our engine is meant to answer; net/http is
// held to them nowhere.
func TestHTTP2IsSpokenAsTheStandardSays(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte("got "), body...))
	})
	g := start(t, options{resources: withBackend(openToAll, b.URL)})
	before := g.metric(t, "go_goroutines")
	if n := len(h2test.Cases()); n < 220 {
		t.Errorf("%d cases only", n)
	}
	t.Run("cases", func(t *testing.T) {
		h2test.Run(t, func(t testing.TB) *h2test.Client {
			nc, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", g.proxy, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err != nil {
				t.Fatal(err)
			}
			if p := nc.ConnectionState().NegotiatedProtocol; p != "h2" {
				t.Fatalf("the gateway speaks %q", p)
			}
			return h2test.New(t, nc)
		})
	})
	for _, s := range b.saw() { // nothing of what was refused has come through
		if s.Method == "CONNECT" || strings.ContainsAny(s.URI, " #") || s.Header.Get("Transfer-Encoding") != "" || s.Header.Get("Upgrade") != "" {
			t.Errorf("the backend saw %+v", s)
		}
	}
	g.calm(t, before)
}
