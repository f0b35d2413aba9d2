//go:build e2e

package e2e

import (
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// h2specCases are how many the pinned h2spec has with its strict ones. Fewer would
// mean that some were left out unseen.
const h2specCases = 146

// h2specFails are the cases that an engine does not pass, by h2spec's own names,
// with which it runs one alone, and why that may be so. Ours passes all.
var h2specFails = map[string]map[string]string{"standard": {
	"http2/6.5.3/1":   "a parameter that is twice in one SETTINGS frame: net/http hangs up on it, against floods",
	"http2/8.1.2.2/1": "Connection: net/http answers 400 by itself, which refuses the request too, and resets nothing",
	"http2/8.1.2.2/2": "TE: as Connection",
}}

// h2spec is the public suite, built from the module that pins it.
func h2spec(t testing.TB) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join("h2spec", "h2spec"))
	if err != nil {
		t.Fatal(err)
	}
	if !executable(p) {
		t.Fatal("h2spec is not built: run scripts/install-real-parts, or go build -o h2spec github.com/summerwind/h2spec/cmd/h2spec in test/e2e/h2spec")
	}
	return p
}

// verdict is what h2spec says of one case.
type verdict struct {
	name, title string // http2/6.9.1/2, and what the case does
	skipped     bool
	fault       string // "" where it has passed
}

// printable is a text without control characters: h2spec quotes what a server sent,
// byte for byte, in its report too, which is then no XML.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '.'
	}, s)
}

// verdicts reads the report that h2spec writes.
func verdicts(t testing.TB, path string) (out []verdict) {
	t.Helper()
	var report struct {
		Suites []struct {
			Cases []struct {
				Package string    `xml:"package,attr"`
				Title   string    `xml:"classname,attr"`
				Failure *string   `xml:"failure"`
				Error   *string   `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	text := printable(read(t, path))
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = false
	if err := d.Decode(&report); err != nil {
		t.Fatalf("%v in the report of h2spec:\n%s", err, text)
	}
	for _, s := range report.Suites {
		for i, c := range s.Cases {
			v := verdict{name: fmt.Sprintf("%s/%d", c.Package, i+1), title: c.Title, skipped: c.Skipped != nil}
			for _, fault := range []*string{c.Failure, c.Error} { // what would have been right, a line each, and what came
				if fault != nil {
					lines := strings.Split(strings.TrimSpace(*fault), "\n")
					last := len(lines) - 1
					v.fault = fmt.Sprintf("%s, where right is %q", lines[last], lines[:last])
				}
			}
			out = append(out, v)
		}
	}
	return out
}

// TestH2specIsPassedWhole holds the gateway to the public suite of HTTP/2, h2spec:
// every case, the strict ones too, none skipped. Over net/http, the cases that are
// listed above must fail, so that the list stays true.
func TestH2specIsPassedWhole(t *testing.T) {
	program := h2spec(t)
	// Where an answer is short, h2spec skips cases of flow control, or finds streams
	// closed that it wants open: this one is longer than the windows that it sets.
	long := strings.Repeat("An answer outlasts a window. ", 64)
	eachEngine(t, func(t *testing.T, engine string) {
		var b *backend
		b = newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			b.note(r)
			_, _ = io.WriteString(w, long)
		})
		g := start(t, options{engine: engine, resources: withBackend(openToAll, b.URL)})
		before := g.metric(t, "go_goroutines")
		host, port, err := net.SplitHostPort(g.proxy)
		if err != nil {
			t.Fatal(err)
		}
		// Each case ends when its answer comes; only those that fail wait 5 s in vain.
		report := filepath.Join(t.TempDir(), "report.xml")
		out, code := runProgram(t, 5*time.Minute, nil, program, "--strict", "-t", "-k", "-h", host, "-p", port, "-o", "5", "-j", report)
		out = printable(out)
		if _, err := os.Stat(report); err != nil {
			t.Fatalf("h2spec ended with %d and without a report:\n%s", code, tail(out, 4000))
		}
		all := verdicts(t, report)
		if len(all) < h2specCases {
			t.Errorf("h2spec has run %d cases of %d", len(all), h2specCases)
		}
		failures := 0
		for _, v := range all {
			if v.fault != "" {
				failures++
			}
			t.Run(v.name+": "+v.title, func(t *testing.T) {
				why, known := h2specFails[engine][v.name]
				switch {
				case v.skipped:
					t.Error("h2spec has skipped it")
				case v.fault != "" && !known:
					t.Errorf("h2spec saw %s", v.fault)
				case v.fault == "" && known:
					t.Errorf("it passes, and is still on the list of those that do not: %s", why)
				}
			})
		}
		if (failures == 0) != (code == 0) {
			t.Errorf("h2spec ended with %d, and its report has %d failures", code, failures)
		}
		if t.Failed() {
			t.Logf("h2spec said:\n%s", tail(out, 4000))
		}
		for name, c := range g.clients() { // it serves on
			if a, err := exchange(c, "GET", g.url("/"), ""); err != nil || a.status != 200 || a.body != long {
				t.Errorf("%s afterwards: %v %+v", name, err, a)
			}
		}
		g.calm(t, before)
		seenOfH2spec(t, b, g.proxy)
	})
}

// seenOfH2spec says that a backend saw what h2spec asks rightly, and nothing of what
// it asks wrongly: other methods and paths, fields of the connection, pseudo-header
// fields. A name in capitals, or before a pseudo-header field, is X-Test with a value
// that good requests never have.
func seenOfH2spec(t *testing.T, b *backend, proxy string) {
	t.Helper()
	all := b.saw()
	if len(all) < 50 { // most cases hold a request that is good
		t.Errorf("the backend saw %d requests only", len(all))
	}
	known := []string{"Cdn-Loop", "Content-Length", "User-Agent", "Via", "X-Dummy0", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
		"X-Forwarded-Proto", "X-Request-Id", "X-Test"}
	for _, s := range all {
		odd := !slices.Contains([]string{"GET", "HEAD", "POST"}, s.Method) || s.URI != "/" || s.Host != proxy || strings.Trim(s.Body, "tesx") != ""
		for name := range s.Header {
			odd = odd || !slices.Contains(known, name)
		}
		if v := s.Header.Get("X-Test"); odd || v != "" && v != "h2spec" {
			t.Errorf("the backend saw %s", tail(fmt.Sprintf("%+v", s), 2000))
		}
	}
	if b.received("\n:") {
		t.Error("the backend received a pseudo-header field")
	}
}
