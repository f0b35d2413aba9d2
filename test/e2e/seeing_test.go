//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// metrics are the samples of a scrape, by name with labels.
func (g *gateway) metrics(t testing.TB) map[string]float64 {
	t.Helper()
	a := g.must(t, 200, "GET", "/metrics", "")
	out := map[string]float64{}
	for _, line := range strings.Split(a.body, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("metrics: %q", line)
		}
		out[line[:i]] = v
	}
	return out
}

func TestMetricsCountByRouteStepAndCode(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(20 * time.Millisecond) })
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for range 7 {
			g.get(t, "alice", "/api")
		}
		for range 3 {
			g.call(t, "DELETE", "/api", "", user("bob"))
		}
		g.get(t, "", "/api")
		g.get(t, "", "/nowhere")
		g.call(t, "GET", "/api", "", user("alice"), header("X_User", "mallory"))
		var m map[string]float64
		find := func(name string, labels ...string) (sum float64) {
			for k, v := range m {
				fits := strings.HasPrefix(k, name+"{") || k == name
				for _, l := range labels {
					fits = fits && strings.Contains(k, l)
				}
				if fits {
					sum += v
				}
			}
			return sum
		}
		until(t, 5*time.Second, "the last request is counted", func() bool {
			m = g.metrics(t)
			return find("sallyport_requests_total", `code="allowed"`, `route="api"`) >= 8
		})
		for _, c := range []struct {
			name   string
			labels []string
			want   float64
		}{
			{"sallyport_requests_total", []string{`route="api"`, `code="allowed"`}, 8},
			{"sallyport_requests_total", []string{`route="api"`, `code="permission_denied"`, `step="authorise"`}, 3},
			{"sallyport_requests_total", []string{`route="api"`, `code="credential_missing"`, `step="authenticate"`}, 1},
			{"sallyport_requests_total", []string{`code="route_not_found"`, `step="match"`}, 1},
			{"sallyport_security_events_total", nil, 1},
			{"sallyport_target_duration_seconds_count", []string{`service="api"`}, 8},
		} {
			if got := find(c.name, c.labels...); got != c.want {
				t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
			}
		}
		// Gateway's and target's time apart: the backend sleeps, the gateway does not.
		if s := find("sallyport_target_duration_seconds_sum", `service="api"`) / 8; s < .02 || s > 1 {
			t.Errorf("the target's mean time is %v s", s)
		}
		if s := find("sallyport_request_duration_seconds_bucket", `route="api"`, `le="0.01"`); s < 8 {
			t.Errorf("of 12 requests to the route %v took the gateway less than 10 ms", s)
		}
		if a, err := exchange(g.client, "GET", "https://"+g.proxy+"/metrics", ""); err != nil || a.status == 200 {
			t.Errorf("the proxy's listener serves the metrics: %v %+v", err, a)
		}
	})
}

func TestADecisionIsExplainedStepByStep(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	type explanation struct {
		Outcome, Code, Route, User, Remedy string
		Status                             int
		Revision                           int64
		Steps                              []struct{ Step, Outcome, Detail string }
	}
	explain := func(body string) (e explanation) {
		t.Helper()
		g.must(t, 200, "POST", "/v2/explain", body).into(t, &e)
		return e
	}
	before := len(g.events(t))
	e := explain(`{"method":"DELETE","url":"/api/1","user":"bob"}`)
	if e.Outcome != "denied" || e.Status != 403 || e.Code != "permission_denied" || e.Route != "api" || e.User != "bob" || e.Remedy == "" || e.Revision == 0 {
		t.Errorf("%+v", e)
	}
	var steps []string
	for _, s := range e.Steps {
		steps = append(steps, s.Step)
	}
	if got := strings.Join(steps, " "); !regexp.MustCompile(`strip.*match.*authenticate.*authorise`).MatchString(got) {
		t.Errorf("steps %s", got)
	}
	for body, want := range map[string]string{
		`{"method":"GET","url":"/api/1","user":"bob"}`:                          "allowed 200 allowed",
		`{"method":"GET","url":"https://api.example.com/api/1","user":"alice"}`: "allowed 200 allowed",
		`{"url":"/api"}`:                    "denied 401 credential_missing",
		`{"url":"/nowhere"}`:                "denied 404 route_not_found",
		`{"url":"/open"}`:                   "allowed 200 allowed",
		`{"url":"/api/a%2Fb","user":"bob"}`: "denied 400 path_ambiguous",
		`{"url":"/api","headers":{}}`:       "denied 401 credential_missing",
		`{"method":"POST","url":"/api","user":"alice","headers":{"Origin":"https://evil.example"}}`:              "",
		`{"url":"/api","headers":{"Authorization":` + jsonText(basicHeader("alice").Get("Authorization")) + `}}`: "allowed 200 allowed",
		`{"url":"/api","headers":{"Authorization":"Basic YWxpY2U6d3Jvbmc="}}`:                                    "denied 401 credential_invalid",
	} {
		e := explain(body)
		if got := fmt.Sprint(e.Outcome, " ", e.Status, " ", e.Code); want != "" && got != want {
			t.Errorf("%s: %s, want %s (%+v)", body, got, want, e.Steps)
		}
	}
	if len(b.saw()) != 0 {
		t.Error("explaining reached the backend")
	}
	for _, ev := range g.events(t)[before:] {
		if ev.Type == "access" {
			t.Errorf("explaining left the event %+v", ev)
		}
	}
	for what, body := range map[string]string{"an unknown field": `{"url":"/api","query":"x"}`, "an unknown user": `{"url":"/api","user":"nobody-of-that"}`, "no URL": `{"method":"GET"}`} {
		if a := g.api(t, "POST", "/v2/explain", body); a.status != 422 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
}

// cli runs the command line against the gateway.
func (g *gateway) cli(t testing.TB, stdin string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), append(args, "--server", "https://"+g.admin, "--ca", filepath.Join(g.dir, "data", "tls", "ca.crt"))...)
	cmd.Env = []string{"SALLYPORT_ADMIN_PASSWORD=" + adminPassword, "HOME=" + g.dir, "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(stdin)
	b, err := cmd.CombinedOutput()
	if _, is := err.(*exec.ExitError); err != nil && !is {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

func TestTheCommandLineRunsAGateway(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	do := func(want int, stdin string, args ...string) string {
		t.Helper()
		out, code := g.cli(t, stdin, args...)
		if code != want {
			t.Errorf("sallyport %s: exit %d, want %d: %s", strings.Join(args, " "), code, want, out)
		}
		return out
	}
	do(0, "carols-password\n", "user", "create", "carol", "--role", "read-only", "--email", "carol@example.com", "--password")
	g.get(t, "carol", "/api").expect(t, "the user that was just made", 200, "")
	g.call(t, "POST", "/api", "", user("carol")).expect(t, "beyond her role", 403, "permission_denied")
	do(0, "", "user", "update", "carol", "--role", "writer", "--reason", "promoted")
	g.call(t, "POST", "/api", "", user("carol")).expect(t, "within her new role", 200, "")
	var key struct{ Secret, ID, Prefix string }
	if err := json.Unmarshal([]byte(do(0, "", "key", "create", "carol", "--expires", "30d", "-o", "json")), &key); err != nil || !strings.HasPrefix(key.Secret, "sp_") {
		t.Fatalf("%v %+v", err, key)
	}
	g.call(t, "GET", "/api", "", header("X-API-Key", key.Secret)).expect(t, "the key that was just made", 200, "")
	if out := do(0, "", "key", "list", "carol"); strings.Contains(out, key.Secret) || !strings.Contains(out, key.Prefix) {
		t.Errorf("keys are listed as %s", out)
	}
	do(0, "", "user", "update", "carol", "--active=false")
	g.get(t, "carol", "/api").expect(t, "a deactivated user", 401, "credential_invalid")
	g.call(t, "GET", "/api", "", header("X-API-Key", key.Secret)).expect(t, "a deactivated user's key", 401, "credential_invalid")

	file := write(t, filepath.Join(t.TempDir(), "more.yaml"), withBackend(`
services: [{name: more, targets: [{url: "BACKEND"}]}]
routes: [{name: more, paths: [/more], service: more}]
expect:
  - {as: bob, request: "GET /more", then: allowed}
  - {as: bob, request: "POST /more", then: permission_denied}
  - {request: "GET /more", then: credential_missing}
`, b.URL))
	if out := do(0, "", "diff", file); !strings.Contains(out, "more") {
		t.Errorf("diff: %s", out)
	}
	do(1, "", "diff", file, "--exit-code")
	do(0, "", "apply", file, "--dry-run")
	g.get(t, "bob", "/more").expect(t, "a dry run changes nothing", 404, "")
	do(0, "", "apply", file)
	g.get(t, "bob", "/more").expect(t, "applied", 200, "")
	do(0, "", "diff", file, "--exit-code")
	broken := strings.Replace(read(t, file), "then: allowed", "then: permission_denied", 1)
	if out := do(1, broken, "apply", "-"); !strings.Contains(out, "expect") {
		t.Errorf("a failing policy test: %s", out)
	}
	if out := do(1, "routes: [{name: x, paths: [/x], service: nowhere, methds: [GET]}, {name: Y Z, paths: [x], service: api}]\n", "apply", "-"); strings.Count(out, "\n") < 3 {
		t.Errorf("all faults are listed: %s", out)
	}
	do(1, "", "route", "get", "nowhere")
	do(2, "", "route", "frobnicate")
	do(1, "", "service", "delete", "more") // a route leads to it
	do(1, "", "route", "delete", "more")   // a policy test wants it
	do(0, "expect: []\n", "apply", "-")
	do(0, "", "route", "delete", "more")
	do(0, "", "service", "delete", "more")

	out := do(0, "", "explain", "DELETE", "/api", "--as", "bob")
	if !strings.Contains(out, "permission_denied") || !strings.Contains(out, "authorise") {
		t.Errorf("explain: %s", out)
	}
	if out := do(0, "", "export"); !strings.Contains(out, "name: api") || strings.Contains(out, "argon2id") || strings.Contains(out, "alices-password") {
		t.Errorf("export: %s", out)
	} else {
		do(0, out, "apply", "-") // a mask keeps the stored value
		g.get(t, "alice", "/api").expect(t, "after an export was applied again", 200, "")
	}
	hash := "dave:$2y$05$4hRPkdoDPCx3fIFLEdlAbOTZT4X6v5XmMI7GUqKdc5X/lkWf8Y3he\n" // bcrypt of "htpasswd tools made this"
	if out, code := g.cli(t, hash, "import", "htpasswd", "-", "--role", "read-only"); code != 0 {
		t.Errorf("import: exit %d %s", code, out)
	}
	do(0, "", "user", "get", "dave")
	if out := do(0, "", "audit", "list", "--caller", "bob", "--code", "permission_denied", "-o", "json"); strings.Contains(out, `"alice"`) {
		t.Errorf("audit list: %s", out)
	}
	if out := do(0, "a secret word\n", "hash-password"); !strings.Contains(out, "$argon2id$") {
		t.Errorf("hash-password: %s", out)
	}
}

func TestTheAuditIsFollowedAsItHappens(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	follow := exec.Command(binary(t), "audit", "follow", "--route", "api", "-o", "json", "--server", "https://"+g.admin, "--ca", filepath.Join(g.dir, "data", "tls", "ca.crt"))
	follow.Env = []string{"SALLYPORT_ADMIN_PASSWORD=" + adminPassword, "HOME=" + g.dir}
	follow.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(pipe)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			lines <- s.Text()
		}
	}()
	// It may not be connected yet: ask until one is seen.
	first := time.After(10 * time.Second)
	for seen := false; !seen; {
		g.get(t, "bob", "/api/warm-up")
		select {
		case <-lines:
			seen = true
		case <-time.After(100 * time.Millisecond):
		case <-first:
			t.Fatal("nothing is followed")
		}
	}
	begin := time.Now()
	id := g.call(t, "DELETE", "/api/now", "", user("bob")).header.Get("X-Request-Id")
	g.get(t, "", "/open")
	for deadline := time.After(5 * time.Second); ; {
		select {
		case line := <-lines:
			if strings.Contains(line, `"open"`) {
				t.Errorf("an event of another route: %s", line)
			}
			if !strings.Contains(line, id) {
				continue
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("the event came after %v", took)
			}
		case <-deadline:
			t.Fatal("the event does not come")
		}
		break
	}
	_ = follow.Process.Signal(syscall.SIGINT)
	for range lines {
	}
	_ = follow.Wait()

	// The same by REST: newest first, filtered, in pages.
	for i := range 5 {
		g.get(t, "bob", fmt.Sprintf("/api/page/%d", i))
	}
	var page struct {
		Items      []event
		NextCursor string
	}
	var paths []string
	cursor := ""
	until(t, 5*time.Second, "the events are queried", func() bool {
		paths, cursor = nil, ""
		for range 20 {
			page.Items, page.NextCursor = nil, ""
			g.must(t, 200, "GET", `/v2/auditEvents?limit=2&filter=path+sw+"/api/page/"&cursor=`+cursor, "").into(t, &page)
			for _, e := range page.Items {
				paths = append(paths, e.Path)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		return len(paths) == 5
	})
	if strings.Join(paths, " ") != "/api/page/4 /api/page/3 /api/page/2 /api/page/1 /api/page/0" {
		t.Errorf("%v", paths)
	}
	if a := g.api(t, "GET", "/v2/auditEvents?filter=nonsense", ""); a.status != 422 {
		t.Errorf("a filter that is none: %d", a.status)
	}
	// A change leaves its event, with who, why and what.
	g.must(t, 200, "PATCH", "/v2/users/bob", `{"displayName":"Bob"}`, header("X-Reason", "a typing error"))
	a := g.must(t, 200, "GET", `/v2/auditEvents?filter=actor+eq+"admin"&limit=1`, "")
	if !strings.Contains(a.body, "a typing error") || !strings.Contains(a.body, `"displayName":"Bob"`) {
		t.Errorf("the change's event: %s", a.body)
	}
}
