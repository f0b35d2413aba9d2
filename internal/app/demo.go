package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/listen"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
)

// The demo's sample users and passwords: they exist in the demo's own folder and
// nowhere else.
const (
	demoAdmin = "admin-of-the-demo"
	demoAlice = "alice-knows-this"
	demoBob   = "bob-knows-this"
)

// Demo serves a whole gateway with a real backend until ctx ends, and prints lines
// to paste.
//
// Its state is in dir, or, where that is "", in a temporary folder that goes with
// the demo. The proxy takes port, the admin API the next; where one is taken, any
// other.
func Demo(ctx context.Context, dir string, port int, version string, out io.Writer) (err error) {
	if err := os.MkdirAll(cmp.Or(dir, os.TempDir()), 0o700); err != nil {
		return fmt.Errorf("making the demo's folder: %w", err)
	}
	ends := "Ctrl-C ends the demo; its state stays in " + dir + "."
	if dir == "" {
		ends = "Ctrl-C ends the demo and removes its folder."
		temp, err := os.MkdirTemp("", "sallyport-demo-")
		if err != nil {
			return fmt.Errorf("making the demo's folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(temp) }()
		dir = temp
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("the demo's folder: %w", err)
	}
	next := port + 1
	if port == 0 {
		next = 0
	}
	backend, stop, err := demoBackend()
	if err != nil {
		return err
	}
	defer stop()
	proxy, admin := freePort(port), freePort(next)
	boot := fmt.Sprintf(`externalURL: https://localhost:%[1]d
dataDir: %[3]s
listeners:
  - {address: "127.0.0.1:%[1]d", serve: [proxy], tls: {selfSigned: true}}
  - {address: "127.0.0.1:%[2]d", serve: [admin, metrics], tls: {selfSigned: true}}
`, proxy, admin, strconv.Quote(filepath.Join(dir, "data")))
	cfg, faults := config.Parse([]byte(boot), filepath.Join(dir, "sallyport.yaml"))
	if len(faults) > 0 {
		return faults
	}
	if err := os.Setenv("SALLYPORT_ADMIN_PASSWORD", demoAdmin); err != nil {
		return err
	}
	g, err := New(ctx, cfg, Options{Version: version, Tell: func(string, ...any) {},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	key, err := g.demoResources(ctx, backend)
	if err != nil {
		g.close()
		return err
	}
	tellDemo(out, ends, proxy, admin, listen.CAFile(filepath.Join(cfg.DataDir, "tls")), key)
	return g.Run(ctx)
}

// demoBackend is go-httpbin on a free port: it answers with what it was sent.
func demoBackend() (url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("starting the demo's backend: %w", err)
	}
	s := &http.Server{Handler: httpbin.New(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() { _ = s.Close() }, nil
}

// freePort is the wanted port, or any other where that is taken.
func freePort(want int) int {
	for _, p := range []int{want, 0} {
		ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
		if err == nil {
			defer func() { _ = ln.Close() }()
			return ln.Addr().(*net.TCPAddr).Port
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return want
}

// demoResources sets up the backend, two roles and three users, and answers the
// service's API key.
func (g *Gateway) demoResources(ctx context.Context, backend string) (key string, err error) {
	text := strings.ReplaceAll(demoDocument, "BACKEND", backend)
	doc, _, faults := config.ParseResources([]byte(text), "demo.yaml")
	if len(faults) > 0 {
		return "", faults
	}
	actor := provision.Actor{Name: "demo", Roles: []model.AdminRole{model.AdminAll}}
	if _, err := g.provision.Apply(ctx, actor, doc, provision.ApplyOptions{Owner: "demo"}); err != nil {
		return "", err
	}
	c, err := g.provision.AddCredential(ctx, actor, provision.KindUsers, "reporter", model.Credential{Type: model.APIKey})
	if err != nil {
		return "", err
	}
	return c.Secret, nil
}

const demoDocument = `
settings:
  reverseProxyAuthentication: {enabled: true}
  sessions: {passwordLogin: true}
services:
  - name: httpbin
    targets: [{url: "BACKEND"}]
roles:
  - name: everything
    permissions: [{routes: ["*"], methods: ["*"]}]
  - name: read-only
    permissions: [{routes: ["*"], methods: [GET]}]
routes:
  - {name: api, paths: [/], service: httpbin}
  - {name: status, paths: [/status], service: httpbin, access: public}
users:
  - {username: alice, displayName: Alice Ames, emails: [alice@example.com], roles: [everything], credentials: [{type: password, password: ` + demoAlice + `}]}
  - {username: bob, displayName: Bob Birch, emails: [bob@example.com], roles: [read-only], credentials: [{type: password, password: ` + demoBob + `}]}
  - {username: reporter, kind: service, roles: [read-only]}
expect:
  - {as: alice, request: "POST /anything", then: allowed}
  - {as: bob, request: "POST /anything", then: permission_denied}
  - {request: "GET /anything", then: credential_missing}
`

func tellDemo(out io.Writer, ends string, proxy, admin int, ca, key string) {
	curl := "curl -s --cacert " + ca
	api, rest := fmt.Sprintf("https://localhost:%d", proxy), fmt.Sprintf("https://localhost:%d", admin)
	lines := []struct{ what, command string }{
		{"Allowed: alice may do everything. The backend shows the identity that it was given.", curl + " -u alice:" + demoAlice + " " + api + "/anything/orders"},
		{"Refused by role: bob may only read.", curl + " -u bob:" + demoBob + " -X POST " + api + "/anything/orders"},
		{"Wrong password.", curl + " -u alice:wrong " + api + "/anything"},
		{"Forged: the X-User that a client sends never reaches the backend.", curl + " -u bob:" + demoBob + " -H 'X-User: alice' -H 'X_User: alice' " + api + "/headers"},
		{"A service with an API key.", curl + " -H 'X-API-Key: " + key + "' " + api + "/anything/report"},
		{"A public route.", curl + " -o /dev/null -w '%{http_code}\\n' " + api + "/status/204"},
		{"The configuration, by REST.", curl + " -u admin:" + demoAdmin + " " + rest + "/v2/config/reverseProxyAuthentication"},
		{"Why bob may not write, step by step.", curl + " -u admin:" + demoAdmin + " -H 'Content-Type: application/json' -d '{\"method\":\"POST\",\"url\":\"/anything\",\"user\":\"bob\"}' " + rest + "/v2/explain"},
		{"What happened.", curl + " -u admin:" + demoAdmin + " '" + rest + "/v2/auditEvents?limit=5'"},
	}
	_, _ = fmt.Fprintf(out, "Sallyport is serving a demo: API at %s, administration at %s.\nPaste these into another terminal. %s\n", api, rest, ends)
	_, _ = fmt.Fprintf(out, "Or sign in by a browser, at %s/headers, as alice with the password %s. (It warns of the demo's own certificate.)\n", api, demoAlice)
	for _, l := range lines {
		_, _ = fmt.Fprintf(out, "\n# %s\n%s\n", l.what, l.command)
	}
	_, _ = fmt.Fprintln(out)
}
