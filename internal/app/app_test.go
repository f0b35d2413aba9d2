package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/config"
)

// running is a gateway that serves on free ports for the time of a test.
type running struct {
	t            *testing.T
	g            *Gateway
	proxy, admin string
	client       *http.Client
	dir          string
}

func start(t *testing.T, engine string, resources string, mod ...func(*Options)) *running {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("SALLYPORT_ADMIN_PASSWORD", "correct horse battery")
	boot := "externalURL: https://api.example.com\ndataDir: " + dir + "/data\nlisteners:\n" +
		"  - {address: 127.0.0.1:0, serve: [proxy], tls: {selfSigned: true}}\n" +
		"  - {address: 127.0.0.1:0, serve: [admin, metrics], tls: {selfSigned: true}}\n"
	if resources != "" {
		boot += "resources: [resources.yaml]\n"
		write(t, filepath.Join(dir, "resources.yaml"), resources)
	}
	path := filepath.Join(dir, "sallyport.yaml")
	write(t, path, boot)
	cfg, faults := config.Load(path)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	level := slog.LevelWarn
	opt := Options{Version: "test", Standard: engine == "standard",
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), Tell: t.Logf}
	for _, m := range mod {
		m(&opt)
	}
	g, err := New(t.Context(), cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the gateway does not stop")
		}
	})
	r := &running{t: t, g: g, dir: dir, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	r.proxy, _ = g.Addresses(config.ServeProxy)
	r.admin, _ = g.Addresses(config.ServeAdmin)
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *running) do(method, url, body string, mod ...func(*http.Request)) (int, http.Header, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range mod {
		m(req)
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, res.Header, string(b)
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (r *running) api(method, path, body string) (int, string) {
	r.t.Helper()
	code, _, out := r.do(method, "https://"+r.admin+path, body, basic("admin", "correct horse battery"), header("Content-Type", "application/json"))
	return code, out
}

// backend answers with what it saw.
func backend(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "uri": r.RequestURI, "header": r.Header, "body": string(b), "host": r.Host})
	}))
	t.Cleanup(s.Close)
	return s
}

const basics = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: orders, targets: [{url: "BACKEND"}]}]
roles:
  - {name: read-only, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: [orders], methods: ["*"]}]}
routes:
  - {name: orders, paths: [/orders], service: orders}
  - {name: open, paths: [/open], service: orders, access: public}
users:
  - {username: alice, roles: [writer], emails: [alice@example.com], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [read-only], credentials: [{type: password, password: bobs-password}]}
`

func TestTheMainJob(t *testing.T) {
	for _, engine := range []string{"own", "standard"} {
		t.Run(engine, func(t *testing.T) { mainJob(t, engine) })
	}
}

func mainJob(t *testing.T, engine string) {
	b := backend(t)
	theMainJob(t, start(t, engine, strings.ReplaceAll(basics, "BACKEND", b.URL)))
}

func theMainJob(t *testing.T, r *running) {
	url := "https://" + r.proxy
	code, h, body := r.do("GET", url+"/orders/1?x=1", "", basic("alice", "alices-password"), header("X_User", "mallory"))
	if code != 200 {
		t.Fatalf("allowed: %d %s", code, body)
	}
	var saw struct {
		URI    string
		Header http.Header
	}
	if err := json.Unmarshal([]byte(body), &saw); err != nil {
		t.Fatal(err)
	}
	const alias = "X_" + "User"
	if saw.Header.Get("X-User") != "alice" || len(saw.Header.Values("X-User")) != 1 || strings.Contains(body, alias) {
		t.Errorf("identity: %v", saw.Header)
	}
	if saw.Header.Get("Authorization") != "" || saw.Header.Get("X-Sallyport-Assertion") == "" || saw.URI != "/orders/1?x=1" || h.Get("X-Request-Id") == "" {
		t.Errorf("forwarded: %s %v", saw.URI, saw.Header)
	}
	for _, c := range []struct {
		name, method, path, user, password string
		status                             int
		code                               string
	}{
		{"bob may read", "GET", "/orders", "bob", "bobs-password", 200, ""},
		{"bob may not write", "POST", "/orders", "bob", "bobs-password", 403, "permission_denied"},
		{"a wrong password", "GET", "/orders", "alice", "wrong", 401, "credential_invalid"},
		{"nobody", "GET", "/orders", "", "", 401, "credential_missing"},
		{"nobody on a public route", "GET", "/open", "", "", 200, ""},
		{"no such route", "GET", "/nowhere", "alice", "alices-password", 404, "route_not_found"},
	} {
		mod := []func(*http.Request){}
		if c.user != "" {
			mod = append(mod, basic(c.user, c.password))
		}
		code, h, body := r.do(c.method, url+c.path, "", mod...)
		if code != c.status || c.code != "" && !strings.Contains(body, `"code":"`+c.code+`"`) {
			t.Errorf("%s: %d %s", c.name, code, body)
		}
		if c.status == 401 && !strings.HasPrefix(strings.Join(h.Values("WWW-Authenticate"), " | "), "") {
			t.Errorf("%s: challenges %v", c.name, h.Values("WWW-Authenticate"))
		}
	}
	if code, body := r.api("PUT", "/v2/config/reverseProxyAuthentication", `{"enabled":true,"usernameHeader":"X-Remote-Customer"}`); code != 200 {
		t.Fatalf("PUT config: %d %s", code, body)
	}
	_, _, body = r.do("GET", url+"/orders", "", basic("alice", "alices-password"))
	if !strings.Contains(body, `"X-Remote-Customer":["alice"]`) {
		t.Errorf("the new name is not in force on the next request: %s", body)
	}
	if code, body := r.api("PATCH", "/v2/users/alice", `{"active":false}`); code != 200 {
		t.Fatalf("deactivate: %d %s", code, body)
	}
	if code, _, body := r.do("GET", url+"/orders", "", basic("alice", "alices-password")); code != 401 {
		t.Errorf("deactivated: %d %s", code, body)
	}
	if code, body := r.api("POST", "/v2/explain", `{"method":"POST","url":"/orders","user":"bob"}`); code != 200 || !strings.Contains(body, "permission_denied") {
		t.Errorf("explain: %d %s", code, body)
	}
	code, out := r.api("GET", "/v2/auditEvents?limit=100", "")
	if code != 200 || !bytes.Contains([]byte(out), []byte("identity header forged")) {
		t.Errorf("audit: %d %s", code, out)
	}
	if code, out := r.api("GET", "/v2/status", ""); code != 200 {
		t.Errorf("status: %d %s", code, out)
	}
	if code, _, out := r.do("GET", url+"/.sallyport/healthz", ""); code != 200 || out != "ok\n" {
		t.Errorf("healthz: %d %s", code, out)
	}
}
