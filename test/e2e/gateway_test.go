//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const adminPassword = "correct horse battery"

// eachEngine runs a test over our own engines and over net/http, at the same time.
func eachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	for _, e := range engines() {
		t.Run("engine "+e, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

func engines() []string {
	if list := os.Getenv("SALLYPORT_E2E_ENGINES"); list != "" {
		return strings.Split(list, ",")
	}
	return []string{"own", "standard"}
}

// options are how a gateway is started. Left out, it serves the proxy and the
// admin API by a certificate of its own making.
type options struct {
	engine    string // own | standard
	resources string // a declarative document, applied at start
	plain     bool   // the proxy speaks plain HTTP
	proxyTLS  string // the tls: of the proxy's listener, as a YAML flow mapping
	adminTLS  string // the tls: of the admin API's listener
	redirect  bool   // a listener that redirects to https
	boot      string // further lines of the boot file
	env       []string
	external  string // externalURL; left out, https://api.example.com
	dir       string // to start again where another gateway ended
	notReady  bool   // do not wait until it serves
	proxy     string // the proxy's address; left out, a free one
}

// gateway is the built binary, running.
type gateway struct {
	*program
	opt                    options
	dir, bootFile          string
	proxy, admin, redirect string       // host:port
	client                 *http.Client // HTTP/1.1
	h2                     *http.Client // HTTP/2
}

func binary(t testing.TB) string {
	t.Helper()
	b := os.Getenv("SALLYPORT_BIN")
	if b == "" {
		b = filepath.Join("..", "..", "bin", "sallyport")
	}
	b, err := filepath.Abs(b)
	if err != nil {
		t.Fatal(err)
	}
	if !executable(b) {
		t.Fatalf("%s is not built: run make build", b)
	}
	return b
}

// start starts a gateway and waits until it serves. At the end of the test it is
// told to end by SIGTERM, and must do so cleanly.
func start(t testing.TB, opt options) *gateway {
	t.Helper()
	g := &gateway{opt: opt, dir: opt.dir, proxy: freeAddress(t), admin: freeAddress(t)}
	if opt.proxy != "" {
		g.proxy = opt.proxy
	}
	if g.dir == "" {
		g.dir = t.TempDir()
	}
	g.client, g.h2 = newClient(t, false), newClient(t, true)
	if opt.redirect {
		g.redirect = freeAddress(t)
	}
	g.bootFile = write(t, filepath.Join(g.dir, "sallyport.yaml"), g.boot(t))
	g.run(t)
	return g
}

func (g *gateway) boot(t testing.TB) string {
	o := &g.opt
	if o.proxyTLS == "" {
		o.proxyTLS = "{selfSigned: true}"
	}
	if o.adminTLS == "" {
		o.adminTLS = "{selfSigned: true}"
	}
	if o.external == "" {
		o.external = "https://api.example.com"
	}
	proxyTLS := ", tls: " + o.proxyTLS
	if o.plain {
		proxyTLS = ""
	}
	b := fmt.Sprintf("externalURL: %s\ndataDir: data\nlisteners:\n  - {address: %q, serve: [proxy]%s}\n  - {address: %q, serve: [admin, metrics], tls: %s}\n",
		o.external, g.proxy, proxyTLS, g.admin, o.adminTLS)
	if g.redirect != "" {
		b += fmt.Sprintf("  - {address: %q, serve: [redirect]}\n", g.redirect)
	}
	if o.resources != "" {
		write(t, filepath.Join(g.dir, "resources.yaml"), o.resources)
		b += "resources: [resources.yaml]\n"
	}
	return b + o.boot
}

// run starts the process on the boot file as it stands.
func (g *gateway) run(t testing.TB) {
	t.Helper()
	args := []string{"run", "-c", g.bootFile}
	if g.opt.engine != "" && g.opt.engine != "own" {
		args = append(args, "--engine="+g.opt.engine)
	}
	g.program = launch(t, g.dir, append([]string{"SALLYPORT_ADMIN_PASSWORD=" + adminPassword}, g.opt.env...), binary(t), args...)
	p := g.program
	t.Cleanup(func() {
		g.hangUp()
		if p.running() {
			p.signal(syscall.SIGTERM)
			if code := p.wait(40 * time.Second); code != 0 && !t.Failed() {
				t.Errorf("the gateway ended with %d after SIGTERM:\n%s", code, tail(p.log.String(), 4000))
			}
		}
		if s := p.log.String(); strings.Contains(s, "panic") || strings.Contains(s, "DATA RACE") {
			t.Errorf("the gateway panicked:\n%s", tail(s, 6000))
		}
	})
	if !g.opt.notReady {
		g.ready(t)
	}
}

func (g *gateway) url(path string) string {
	if g.opt.plain {
		return "http://" + g.proxy + path
	}
	return "https://" + g.proxy + path
}

// ready waits until the gateway serves.
func (g *gateway) ready(t testing.TB) {
	t.Helper()
	until(t, 20*time.Second, "the gateway serves", func() bool {
		if !g.running() {
			t.Fatalf("the gateway ended instead of serving: %v\n%s", g.err, tail(g.log.String(), 4000))
		}
		res, err := g.client.Get(g.url("/.sallyport/healthz"))
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode == 200 && string(b) == "ok\n"
	})
}

// hangUp closes the connections that the clients keep.
func (g *gateway) hangUp() {
	g.client.CloseIdleConnections()
	g.h2.CloseIdleConnections()
}

// clients are the ways to send a request, by name.
func (g *gateway) clients() map[string]*http.Client {
	return map[string]*http.Client{"HTTP/1.1": g.client, "HTTP/2": g.h2}
}

// stop ends the gateway as an operator does.
func (g *gateway) stop(t testing.TB) {
	t.Helper()
	g.hangUp()
	g.signal(syscall.SIGTERM)
	if code := g.wait(40 * time.Second); code != 0 {
		t.Fatalf("SIGTERM: exit code %d\n%s", code, tail(g.log.String(), 4000))
	}
}

// api calls the admin API as the first administrator.
func (g *gateway) api(t testing.TB, method, path, body string, mods ...mod) *answer {
	t.Helper()
	mods = append([]mod{basic("admin", adminPassword), header("Content-Type", "application/json")}, mods...)
	return g.send(t, method, "https://"+g.admin+path, body, mods...)
}

// must calls the admin API and fails the test unless the answer has the status.
func (g *gateway) must(t testing.TB, status int, method, path, body string, mods ...mod) *answer {
	t.Helper()
	a := g.api(t, method, path, body, mods...)
	if a.status != status {
		t.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
	}
	return a
}

// call sends a request to the proxy.
func (g *gateway) call(t testing.TB, method, path, body string, mods ...mod) *answer {
	t.Helper()
	return g.send(t, method, g.url(path), body, mods...)
}

// get sends a GET as somebody; "" is nobody.
func (g *gateway) get(t testing.TB, as, path string, mods ...mod) *answer {
	t.Helper()
	if as != "" {
		mods = append([]mod{user(as)}, mods...)
	}
	return g.call(t, "GET", path, "", mods...)
}

// answer is an answer, read to its end.
type answer struct {
	status  int
	proto   string
	header  http.Header
	trailer http.Header
	body    string
}

// code is the code of a problem document; "" = the body is none.
func (a *answer) code() string {
	var p struct{ Code string }
	if a.header.Get("Content-Type") == "application/problem+json" {
		_ = json.Unmarshal([]byte(a.body), &p)
	}
	return p.Code
}

func (a *answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

// expect fails the test unless the answer has the status and, if it is not "", the code.
func (a *answer) expect(t testing.TB, what string, status int, code string) {
	t.Helper()
	if a.status != status || code != "" && a.code() != code {
		t.Errorf("%s: %d %q %s, want %d %s", what, a.status, a.code(), tail(a.body, 300), status, code)
	}
}

type mod func(*http.Request)

func basic(user, password string) mod {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

// user is Basic authentication with the password that the tests' users have.
func user(name string) mod { return basic(name, name+"s-password") }

func header(name, value string) mod {
	return func(r *http.Request) {
		if name == "Host" {
			r.Host = value
			return
		}
		r.Header[name] = append(r.Header[name][:len(r.Header[name]):len(r.Header[name])], value)
	}
}

func bearer(token string) mod { return header("Authorization", "Bearer "+token) }

// newClient is a client that believes any certificate, by HTTP/1.1 or HTTP/2 alone.
func newClient(t testing.TB, h2 bool) *http.Client {
	var p http.Protocols
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 100,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, DisableCompression: true, Protocols: &p,
		ExpectContinueTimeout: 5 * time.Second}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Timeout: 30 * time.Second, Transport: tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (g *gateway) send(t testing.TB, method, url, body string, mods ...mod) *answer {
	t.Helper()
	a, err := exchange(g.client, method, url, body, mods...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

func exchange(c *http.Client, method, url, body string, mods ...mod) (*answer, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	for _, m := range mods {
		m(req)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("the body of a %d: %w", res.StatusCode, err)
	}
	return &answer{res.StatusCode, res.Proto, res.Header, res.Trailer, string(b)}, nil
}
