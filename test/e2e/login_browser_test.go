//go:build e2e

package e2e

import (
	"encoding/json"
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
		e := openEntrance(t, engine, entranceOptions{others: []string{"partner"}, settings: "  sessions: {passwordLogin: true}"})
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
			jsonText(map[string]any{"proxy": e.proxy, "provider": e.corp.issuer, "chromium": need(t, "chromium"), "screenshots": pictures}))
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
		if code != 0 || tried != 9 {
			t.Errorf("the browser tried %d things, and ended with %d: %s", tried, code, tail(out, 3000))
		}
		if log := e.log.String(); strings.Contains(log, "level=ERROR") {
			t.Errorf("the gateway complained: %s", tail(log, 2000))
		}
	})
}
