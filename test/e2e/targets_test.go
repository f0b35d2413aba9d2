//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const several = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [SERVICE]
routes: [{name: open, paths: [/], service: many, access: public}]
`

func withService(service string) string { return strings.Replace(several, "SERVICE", service, 1) }

func TestTargetsShareByTheirWeights(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var hits [3]atomic.Int64
		var urls [3]string
		for i := range hits {
			urls[i] = newBackend(t, func(w http.ResponseWriter, r *http.Request) { hits[i].Add(1); fmt.Fprint(w, i) }).URL
		}
		service := func(balance string) string {
			return fmt.Sprintf(`{"name":"many","balance":%q,"targets":[{"url":%q,"weight":3},{"url":%q,"weight":1},{"url":%q,"weight":0}]}`, balance, urls[0], urls[1], urls[2])
		}
		g := start(t, options{engine: engine, resources: withService(service("roundRobin"))})
		for range 80 {
			g.get(t, "", "/").expect(t, "", 200, "")
		}
		if a, b, c := hits[0].Load(), hits[1].Load(), hits[2].Load(); a != 60 || b != 20 || c != 0 {
			t.Errorf("of 80 requests by weights 3, 1 and 0 the targets saw %d, %d and %d", a, b, c)
		}
		for _, balance := range []string{"leastRequests", "hash"} {
			for i := range hits {
				hits[i].Store(0)
			}
			g.must(t, 200, "PUT", "/v2/services/many", service(balance))
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 20 {
						if a, err := exchange(g.client, "GET", g.url("/"), ""); err != nil || a.status != 200 {
							t.Errorf("%s: %v %+v", balance, err, a)
						}
					}
				})
			}
			wg.Wait()
			a, b, c := hits[0].Load(), hits[1].Load(), hits[2].Load()
			if balance == "hash" && a != 0 && b != 0 || a+b != 160 || c != 0 || balance != "hash" && (a == 0 || b == 0) {
				t.Errorf("%s: %d, %d and %d", balance, a, b, c)
			}
		}
	})
}

func TestATargetThatIsDownCostsNobodyARequest(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var hits atomic.Int64
		good := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			hits.Add(1)
		})
		dead := freeAddress(t)
		g := start(t, options{engine: engine, resources: withService(fmt.Sprintf(`{name: many, balance: roundRobin, targets: [{url: %q}, {url: "http://%s"}], timeouts: {connect: 1s}}`, good.URL, dead))})
		for name, c := range g.clients() {
			for i := range 40 {
				method := []string{"GET", "POST"}[i%2]
				a, err := exchange(c, method, g.url("/"), "body")
				if err != nil || a.status != 200 {
					t.Errorf("%s %s %d: %v %+v", name, method, i, err, a)
				}
			}
		}
		if n := hits.Load(); n != 80 {
			t.Errorf("80 requests arrived as %d", n)
		}
	})
}

func TestHealthChecksTakeATargetOutAndBringItBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var sick atomic.Bool
		var hits [2]atomic.Int64
		serve := func(i int) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/ready" {
					if i == 1 && sick.Load() {
						w.WriteHeader(503)
					}
					return
				}
				hits[i].Add(1)
			}
		}
		a, b := newBackend(t, serve(0)), newBackend(t, serve(1))
		g := start(t, options{engine: engine, resources: withService(fmt.Sprintf(`{name: many, balance: roundRobin, targets: [{url: %q}, {url: %q}], health: {path: /ready, interval: 100ms, timeout: 1s, unhealthyAfter: 2, healthyAfter: 2}}`, a.URL, b.URL))})
		share := func() (int64, int64) {
			t.Helper()
			hits[0].Store(0)
			hits[1].Store(0)
			for range 20 {
				g.get(t, "", "/").expect(t, "", 200, "")
			}
			return hits[0].Load(), hits[1].Load()
		}
		if x, y := share(); x != 10 || y != 10 {
			t.Errorf("both well: %d and %d", x, y)
		}
		sick.Store(true)
		until(t, 5*time.Second, "the sick target gets no requests", func() bool { _, y := share(); return y == 0 })
		if st := g.must(t, 200, "GET", "/v2/status", "").body; !strings.Contains(st, `"healthy":false`) {
			t.Errorf("status does not say so: %s", st)
		}
		sick.Store(false)
		until(t, 5*time.Second, "the target that is well again gets its share", func() bool { x, y := share(); return x == 10 && y == 10 })
		if strings.Contains(string(b.bytes()), "X-User") {
			t.Error("health checks carry an identity")
		}
	})
}

// A request that may have been processed is never sent twice.
func TestOnlyWhatIsSafeIsSentAgain(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var mu sync.Mutex
		saw := map[string]int{}
		url := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			for {
				h, err := head(r)
				if err != nil {
					return
				}
				target := strings.Fields(h)[1]
				mu.Lock()
				saw[target]++
				n := saw[target]
				mu.Unlock()
				if strings.HasPrefix(h, "POST") || strings.HasPrefix(h, "PUT") {
					_, _ = io.ReadFull(r, make([]byte, 4))
				}
				if strings.HasPrefix(target, "/once") && n == 1 || strings.HasPrefix(target, "/never") {
					return // hangs up without a word
				}
				if strings.HasPrefix(target, "/half") && n == 1 {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
					return
				}
				answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
				if !strings.HasPrefix(h, "HEAD") {
					answer += "ok"
				}
				_, _ = io.WriteString(c, answer)
			}
		})
		g := start(t, options{engine: engine, resources: withService(fmt.Sprintf(`{name: many, targets: [{url: %q}]}`, url))})
		count := func(target string) int { mu.Lock(); defer mu.Unlock(); return saw[target] }
		for name, c := range g.clients() {
			for _, x := range []struct {
				method, path string
				status, sent int
			}{
				{"GET", "/once", 200, 2}, {"PUT", "/once", 200, 2}, {"DELETE", "/once", 200, 2}, {"HEAD", "/once", 200, 2}, {"OPTIONS", "/once", 200, 2},
				{"POST", "/once", 502, 1}, {"PATCH", "/once", 502, 1},
				{"GET", "/never", 502, 2}, {"POST", "/never", 502, 1},
				{"GET", "/half", 502, 1}, {"POST", "/half", 502, 1},
			} {
				target := x.path + "/" + x.method + "/" + strings.ReplaceAll(name, "/", "")
				body := ""
				if x.method == "POST" || x.method == "PUT" {
					body = "body"
				}
				a, err := exchange(c, x.method, g.url(target), body)
				n := count(target)
				if err != nil || a.status != x.status {
					t.Errorf("%s %s by %s: %v %+v, want %d", x.method, x.path, name, err, a, x.status)
				}
				// A kept connection that died under a safe request is no retry of the service's.
				if n != x.sent && !(x.path == "/never" && x.method == "GET" && n > x.sent && n <= 4) {
					t.Errorf("%s %s by %s was sent %d times, want %d", x.method, x.path, name, n, x.sent)
				}
			}
		}
	})
}

func TestATargetOverTLSIsVerified(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		ca, other := newAuthority(t), newAuthority(t)
		cert, key := ca.server("backend", "backend.internal")
		address := freeAddress(t)
		nginx(t, fmt.Sprintf(`
    ssl_protocols TLSv1.2 TLSv1.3; location / { if ($ssl_client_verify != SUCCESS) { return 496; } return 200 "hello $ssl_client_s_dn over $ssl_protocol as $ssl_server_name"; }
    ssl_certificate %s; ssl_certificate_key %s; ssl_client_certificate %s; ssl_verify_client optional; listen %s ssl http2;`, cert, key, ca.cert, address))
		mine, mineKey := ca.issue("gateway-client", "/CN=gateway", "extendedKeyUsage=clientAuth")
		service := func(authority, cert, key, name string) string {
			v := map[string]any{"name": "many", "targets": []any{map[string]any{"url": "https://" + address}}, "tls": map[string]any{"ca": authority, "cert": cert, "key": key, "serverName": name}}
			return jsonText(v)
		}
		g := start(t, options{engine: engine, resources: withService(service(read(t, ca.cert), read(t, mine), read(t, mineKey), "backend.internal"))})
		a := g.get(t, "", "/")
		if a.status != 200 || !strings.Contains(a.body, "hello CN=gateway over TLSv1.3 as backend.internal") {
			t.Errorf("mutual TLS: %d %s", a.status, a.body)
		}
		g.must(t, 200, "PUT", "/v2/services/many", service(read(t, ca.cert), "", "", "backend.internal"))
		if a := g.get(t, "", "/"); a.status == 200 {
			t.Errorf("without the gateway's certificate: %d %s", a.status, a.body)
		}
		g.must(t, 200, "PUT", "/v2/services/many", service(read(t, other.cert), read(t, mine), read(t, mineKey), "backend.internal"))
		g.get(t, "", "/").expect(t, "a target that another authority vouches for", 502, "upstream_unreachable")
		g.must(t, 200, "PUT", "/v2/services/many", service(read(t, ca.cert), read(t, mine), read(t, mineKey), "elsewhere.internal"))
		g.get(t, "", "/").expect(t, "a target of another name", 502, "upstream_unreachable")
		g.must(t, 200, "PUT", "/v2/services/many", service("", read(t, mine), read(t, mineKey), "backend.internal"))
		g.get(t, "", "/").expect(t, "a target that nobody known vouches for", 502, "upstream_unreachable")
		if a := g.api(t, "PUT", "/v2/services/many", service("", read(t, mine), read(t, ca.key), "")); a.status != 422 {
			t.Errorf("a key that does not fit: %d", a.status)
		}
	})
}
