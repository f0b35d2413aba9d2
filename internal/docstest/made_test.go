package docstest

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/problem"
)

var update = flag.Bool("update", false, "write the documents that are made from the code")

const made = "<!-- Made by go test ./internal/docstest -update. -->\n\n"

// current compares a made page with the one in the repository, or writes it.
func current(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(root, "docs", "reference", name)
	if *update {
		must(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	b, err := os.ReadFile(path)
	must(t, err)
	if string(b) == text {
		return
	}
	have, want := strings.Split(string(b), "\n"), strings.Split(text, "\n")
	for i := range want {
		if i >= len(have) || have[i] != want[i] {
			t.Fatalf("docs/reference/%s is not current from line %d on, which should be %q; run go test ./internal/docstest -update", name, i+1, want[i])
		}
	}
	t.Fatalf("docs/reference/%s is not current: it is too long; run go test ./internal/docstest -update", name)
}

// codes are the constants of model.Code, as they are declared.
func codes(t *testing.T) (list []model.Code) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal", "model", "code.go"), nil, 0)
	must(t, err)
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Code" {
				continue
			}
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			must(t, err)
			if c := model.Code(text); c != model.Allowed {
				list = append(list, c)
			}
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Status() < list[j].Status() })
	return list
}

func TestThePageOfCodesIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Codes\n\n" + made + codesHead)
	list := codes(t)
	for _, c := range list {
		w, ok := meanings[c]
		if !ok {
			t.Errorf("the code %s has no meaning; add it to internal/docstest/codes_test.go", c)
			continue
		}
		e := model.NewError(c, "")
		proxy := regexp.MustCompile(`error=([a-z_]+)`).FindStringSubmatch(problem.ProxyStatus(e))[1]
		fmt.Fprintf(&b, "## %d `%s`\n\n", c.Status(), c)
		if w.by != "" {
			fmt.Fprintf(&b, "*%s.* ", w.by)
		}
		fmt.Fprintf(&b, "`Proxy-Status` says `%s`.\n\n**Cause.** %s\n\n**Remedy.** %s\n\n", proxy, w.cause, w.remedy)
	}
	for c := range meanings {
		if !slices.Contains(list, c) {
			t.Errorf("there is no code %s", c)
		}
	}
	current(t, "codes.md", strings.TrimRight(b.String(), "\n")+"\n")
}

func TestThePageOfTheCommandLineIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Command line\n\n" + made + cliHead)
	all := verbs(t)
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	sort.Strings(names)
	common := ""
	for _, n := range names {
		help := all[n].help
		if at := strings.Index(help, "\nCommon\n"); at >= 0 {
			end := strings.Index(help[at:], "\n\n")
			if end < 0 {
				end = len(help) - at
			}
			common = strings.TrimPrefix(help[at:at+end], "\nCommon\n")
			help = help[:at] + help[at+end:]
		}
		if n == "" {
			fmt.Fprintf(&b, "## sallyport\n\n```text\n%s\n```\n\nFlags that every command takes:\n\n```text\n%s\n```\n\n", tidy(help), strings.TrimRight(common, "\n"))
			continue
		}
		fmt.Fprintf(&b, "## sallyport %s\n\n```text\n%s\n```\n\n", n, tidy(help))
	}
	current(t, "cli.md", strings.TrimRight(b.String(), "\n")+"\n")
}

// tidy leaves out what is the same everywhere.
func tidy(help string) string {
	help = regexp.MustCompile(`(?m)^\s*-h, --help .*\n`).ReplaceAllString(help, "")
	help = regexp.MustCompile(`Flags:\n+(\z|Commands:)`).ReplaceAllString(help, "$1")
	help = regexp.MustCompile(`Flags:\n+`).ReplaceAllString(help, "Flags:\n")
	help = regexp.MustCompile(`\n{3,}`).ReplaceAllString(help, "\n\n")
	return strings.Trim(help, "\n")
}

// scrape starts a gateway, sends it a few requests, and reads its metrics.
func scrape(t *testing.T) string {
	t.Helper()
	dir := surroundings(t)
	t.Setenv("SALLYPORT_ADMIN_PASSWORD", "correct horse battery")
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	must(t, os.WriteFile(filepath.Join(dir, "resources.yaml"), []byte(`
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: orders, targets: [{url: "`+backend.URL+`"}]}]
routes: [{name: orders, paths: [/], service: orders, access: public}]
identityProviders: [{name: corp, type: jwt, issuer: "https://idp.example.com", audiences: [api], keyFile: issuer.pem}]
`), 0o600))
	c, faults := config.Parse([]byte("externalURL: https://api.example.com\ndataDir: data\nresources: [resources.yaml]\nlisteners:\n"+
		"  - {address: 127.0.0.1:0, serve: [proxy], tls: {selfSigned: true}}\n"+
		"  - {address: 127.0.0.1:0, serve: [admin, metrics], tls: {selfSigned: true}}\n"), filepath.Join(dir, "sallyport.yaml"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	g, err := app.New(t.Context(), c, app.Options{Version: "VERSION", Log: slog.New(slog.DiscardHandler), Tell: t.Logf})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() {
		cancel()
		must(t, <-done)
	}()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	get := func(what, path string) string {
		address, err := g.Addresses(what)
		must(t, err)
		r, err := http.NewRequest("GET", "https://"+address+path, nil)
		must(t, err)
		r.Header.Set("X-User", "mallory")
		res, err := client.Do(r)
		must(t, err)
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		must(t, err)
		return string(b)
	}
	get(config.ServeProxy, "/")
	// What became of the request is counted once its answer is out.
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text := get(config.ServeMetrics, "/metrics")
		if strings.Contains(text, "sallyport_target_duration_seconds_count") && strings.Contains(text, "sallyport_target_up{") || time.Now().After(until) {
			return get(config.ServeMetrics, "/metrics") // a scrape is not of one moment; the next has all of it
		}
	}
}

func TestThePageOfMetricsIsCurrent(t *testing.T) {
	text := scrape(t)
	help, kinds, labels := map[string]string{}, map[string]string{}, map[string][]string{}
	for _, l := range strings.Split(text, "\n") {
		switch words := strings.SplitN(l, " ", 4); {
		case strings.HasPrefix(l, "# HELP "):
			help[words[2]] = words[3]
		case strings.HasPrefix(l, "# TYPE "):
			kinds[words[2]] = words[3]
		case l != "":
			name, rest, _ := strings.Cut(words[0], "{")
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			for _, m := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(rest, -1) {
				if m[1] != "le" && !slices.Contains(labels[name], m[1]) {
					labels[name] = append(labels[name], m[1])
				}
			}
		}
	}
	var names []string
	for n := range help {
		if strings.HasPrefix(n, "sallyport_") {
			names = append(names, n)
		}
	}
	if len(names) < 8 {
		t.Fatalf("only %d metrics were found", len(names))
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString("# Metrics\n\n" + made + metricsHead)
	b.WriteString("| metric | kind | labels | |\n|---|---|---|---|\n")
	for _, n := range names {
		slices.Sort(labels[n])
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", n, kinds[n], strings.Join(labels[n], ", "), help[n])
	}
	b.WriteString(metricsFoot)
	current(t, "metrics.md", b.String())
}
