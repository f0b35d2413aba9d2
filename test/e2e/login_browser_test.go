//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A person at Chromium. SALLYPORT_SCREENSHOTS names a folder that gets a picture of
// each page: light and dark, wide and narrow.
func TestAPersonAtARealBrowser(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		nodeModule(t, "playwright-core/package.json")
		e := openEntrance(t, engine, entranceOptions{others: []string{"partner"}, settings: "  sessions: {passwordLogin: true}", backend: branded(t)})
		hand := stagehand(t, e)
		pictures := os.Getenv("SALLYPORT_SCREENSHOTS")
		if engine != "own" {
			pictures = ""
		}
		if pictures != "" {
			if err := os.MkdirAll(pictures, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		script, err := filepath.Abs(filepath.Join("node", "browser.mjs"))
		if err != nil {
			t.Fatal(err)
		}
		out, code := runProgram(t, 4*time.Minute, nil, need(t, "node"), script,
			jsonText(map[string]any{"proxy": e.proxy, "provider": e.corp.issuer, "chromium": need(t, "chromium"), "screenshots": pictures, "hand": hand}))
		tried := 0
		for line := range strings.Lines(out) {
			var r struct {
				Name  string
				Fault *string
			}
			if json.Unmarshal([]byte(line), &r) != nil || r.Name == "" {
				continue
			}
			tried++
			if r.Fault != nil {
				t.Errorf("%s: %s", r.Name, *r.Fault)
			}
		}
		if code != 0 || tried != 11 {
			t.Errorf("the browser tried %d things, and ended with %d: %s", tried, code, tail(out, 3000))
		}
		if log := e.log.String(); strings.Contains(log, "level=ERROR") {
			t.Errorf("the gateway complained: %s", tail(log, 2000))
		}
	})
}

// brand is an operator's stylesheet, as docs/how-to/sign-in.md shows one, with
// something beside its variables, and something that a page must not let it do.
const brand = `@import url("https://elsewhere.example/more.css");
:root { --deed: #8a1c5c; --on-deed: #fff }
@media (prefers-color-scheme: dark) { :root { --deed: #f5a3cf; --on-deed: #2b0a1d } }
main { border-top: 6px solid var(--deed); background-image: url("https://elsewhere.example/pixel.png") }
`

const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="#8a1c5c"/></svg>`

// branded is a backend that has the operator's stylesheet and logo, too.
func branded(t testing.TB) *backend {
	var b *backend
	b = newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/open/brand.css":
			w.Header().Set("Content-Type", "text/css")
			_, _ = io.WriteString(w, brand)
		case "/open/logo.svg":
			w.Header().Set("Content-Type", "image/svg+xml")
			_, _ = io.WriteString(w, logo)
		default:
			b.echo(w, r)
		}
	})
	return b
}

// stagehand does for the browser's script what is not done at a browser, and answers
// where it is called.
func stagehand(t *testing.T, e *entrance) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/dress":
			e.apply(t, `settings: {pages: {title: "Sign in to <Example>", stylesheet: /open/brand.css, logo: /open/logo.svg}}`)
		case "/undress":
			e.apply(t, `settings: {pages: {title: "", stylesheet: "", logo: ""}}`)
		case "/age": // the way back from a provider, 16 minutes later
			_, _ = io.WriteString(w, e.agedLink(t, r.URL.Query().Get("link"), 16*time.Minute))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}
