package problem

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func codes(t *testing.T) (list []model.Code) {
	t.Helper()
	src, err := os.ReadFile("../model/code.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t\w+\s+Code = "(\w+)"`).FindAllSubmatch(src, -1) {
		if c := model.Code(m[1]); c != model.Allowed {
			list = append(list, c)
		}
	}
	if len(list) < 30 {
		t.Fatalf("found only %d codes", len(list))
	}
	return list
}

func get(fields []model.Field, name string) (values []string) {
	for _, f := range fields {
		if model.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

func one(t *testing.T, a Answer, name string) string {
	t.Helper()
	v := get(a.Fields, name)
	if len(v) != 1 {
		t.Fatalf("%s: %q", name, v)
	}
	return v[0]
}

func TestEveryCodeHasAWholeAnswer(t *testing.T) {
	known := regexp.MustCompile(`^sallyport; error=(dns_\w+|destination_\w+|connection_\w+|http_\w+|proxy_\w+); details="(\w+)"$`)
	for _, c := range codes(t) {
		t.Run(string(c), func(t *testing.T) {
			a := Render(&model.Error{Code: c, Message: "Why."}, Facts{RequestID: "r1"})
			var d map[string]any
			if err := json.Unmarshal(a.Body, &d); err != nil {
				t.Fatal(err)
			}
			if a.Status != c.Status() || d["status"] != float64(c.Status()) || d["code"] != string(c) || d["requestId"] != "r1" ||
				d["detail"] != "Why." || d["title"] == "" || d["type"] != TypePrefix+string(c) {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if _, err := url.Parse(d["type"].(string)); err != nil {
				t.Error(err)
			}
			if one(t, a, "Content-Type") != "application/problem+json" || one(t, a, "X-Request-Id") != "r1" || one(t, a, "Cache-Control") != "no-store" {
				t.Errorf("%v", a.Fields)
			}
			m := known.FindStringSubmatch(one(t, a, "Proxy-Status"))
			if m == nil || m[2] != string(c) {
				t.Errorf("%v", a.Fields)
			}
			if c.Status() == 401 != (len(get(a.Fields, "WWW-Authenticate")) == 1) {
				t.Error("a 401, and nothing else, has a challenge")
			}
			if s := c.Status(); (s == 429 || s == 503) != (len(get(a.Fields, "Retry-After")) == 1) {
				t.Error("a 429 or 503, and nothing else, says when to come again")
			}
		})
	}
}

func TestProxyStatusFollowsTheCause(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"refused", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "connection_refused"},
		{"timed out", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "connection_timeout"},
		{"out of time", context.DeadlineExceeded, "connection_timeout"},
		{"no such name", &net.DNSError{IsNotFound: true}, "dns_error"},
		{"no name server", &net.DNSError{IsTimeout: true}, "dns_timeout"},
		{"reset", syscall.ECONNRESET, "connection_terminated"},
		{"anything else", errors.New("x"), "destination_unavailable"},
		{"unknown", nil, "destination_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ProxyStatus(&model.Error{Code: model.UpstreamUnreachable, Err: c.err})
			if want := "sallyport; error=" + c.want + `; details="upstream_unreachable"`; got != want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestTheCauseIsNeverPublished(t *testing.T) {
	e := &model.Error{Code: model.Internal, Message: "Sorry.", Err: errors.New("dsn=secret")}
	odd := &model.Error{Code: "made_up", Message: "secret"}
	for _, f := range []Facts{{}, {HTML: true}} {
		for _, x := range []*model.Error{e, odd, nil} {
			a := Render(x, f)
			all := string(a.Body)
			for _, h := range a.Fields {
				all += h.Value
			}
			if strings.Contains(all, "secret") {
				t.Errorf("%+v: %s", f, all)
			}
			if a.Status != 500 {
				t.Errorf("status %d", a.Status)
			}
		}
	}
}

func TestFaultsBecomeErrorsWithPathAndMessageAlone(t *testing.T) {
	e := &model.Error{Code: model.Invalid, Message: "No.", Faults: model.Faults{{Path: "routes[2].service", Message: "is missing", File: "/etc/x", Line: 4}}}
	a := Render(e, Facts{})
	if !strings.Contains(string(a.Body), `"errors":[{"path":"routes[2].service","message":"is missing"}]`) {
		t.Errorf("%s", a.Body)
	}
}

func TestEachChallengeIsAFieldOfItsOwnAndCannotSplitTheHeader(t *testing.T) {
	a := Render(&model.Error{Code: model.CredentialMissing}, Facts{Challenges: []string{`Basic realm="x"`, "Bearer", "evil\r\nSet-Cookie: a=b", ""}})
	if got := get(a.Fields, "WWW-Authenticate"); len(got) != 2 || got[0] != `Basic realm="x"` || got[1] != "Bearer" {
		t.Errorf("%q", got)
	}
	if len(get(Render(&model.Error{Code: model.PermissionDenied}, Facts{Challenges: []string{"Basic"}}).Fields, "WWW-Authenticate")) != 0 {
		t.Error("a 403 asks for nothing")
	}
}

func TestA405ListsMethodsAndA429ItsWait(t *testing.T) {
	a := Render(&model.Error{Code: model.MethodNotAllowed, Allow: []string{"GET", "BAD\r\n", "PUT"}}, Facts{})
	if one(t, a, "Allow") != "GET, PUT" {
		t.Errorf("%v", a.Fields)
	}
	if v := get(Render(&model.Error{Code: model.MethodNotAllowed}, Facts{}).Fields, "Allow"); len(v) != 1 || v[0] != "" {
		t.Error("an empty Allow is still there")
	}
	if one(t, Render(&model.Error{Code: model.RateLimited, RetryAfter: 17}, Facts{}), "Retry-After") != "17" {
		t.Error("Retry-After")
	}
}

func TestThePageSaysTheSameAndRunsNothing(t *testing.T) {
	e := &model.Error{Code: model.PermissionDenied, Message: `<script>alert("x")</script>`, Faults: model.Faults{{Message: "<b>"}}}
	a := Render(e, Facts{HTML: true, RequestID: "<id>"})
	body := string(a.Body)
	for _, bad := range []string{"<script", "<b>", "<id>", "http://", "https://", "src=", "href="} {
		if strings.Contains(body, bad) {
			t.Errorf("the page holds %s", bad)
		}
	}
	for _, want := range []string{"&lt;id&gt;", "permission_denied", "403", `lang="en"`, "<h1>Not permitted</h1>", "<main>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	p := one(t, a, "Content-Security-Policy")
	if !strings.Contains(p, "default-src 'none'") || !strings.Contains(p, "style-src 'sha256-") || strings.Contains(p, "unsafe") {
		t.Error(p)
	}
	if one(t, a, "Content-Type") != "text/html; charset=utf-8" {
		t.Error("content type")
	}
}

func TestHeadHasNoBody(t *testing.T) {
	if a := Render(&model.Error{Code: model.NotFound}, Facts{Head: true}); a.Body != nil || a.Status != 404 {
		t.Errorf("%+v", a)
	}
}

func TestOnlyATopLevelNavigationGetsAPage(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, c := range []struct {
		name, method string
		fields       []string
		want         bool
	}{
		{"a browser navigating", "GET", []string{"Accept", browser, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, true},
		{"an old browser", "GET", []string{"accept", browser}, true},
		{"HEAD", "HEAD", []string{"Accept", browser}, true},
		{"curl", "GET", []string{"Accept", "*/*"}, false},
		{"no Accept", "GET", nil, false},
		{"fetch", "GET", []string{"Accept", browser, "Sec-Fetch-Mode", "cors"}, false},
		{"an image", "GET", []string{"Accept", browser, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "image"}, false},
		{"XHR by its old mark", "GET", []string{"Accept", browser, "X-Requested-With", "XMLHttpRequest"}, false},
		{"a WebSocket", "GET", []string{"Accept", browser, "Upgrade", "websocket"}, false},
		{"POST", "POST", []string{"Accept", browser}, false},
		{"an API client that takes either", "GET", []string{"Accept", "application/json, text/html"}, false},
		{"one that prefers pages", "GET", []string{"Accept", "application/json;q=0.5, text/html"}, true},
		{"one that refuses pages", "GET", []string{"Accept", "text/html;q=0"}, false},
		{"a broken weight", "GET", []string{"Accept", "text/html;q=NaN"}, false},
		{"two Accept fields", "GET", []string{"Accept", "image/png", "Accept", "text/html"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fields []model.Field
			for i := 0; i < len(c.fields); i += 2 {
				fields = append(fields, model.Field{Name: c.fields[i], Value: c.fields[i+1]})
			}
			if got := WantsHTML(c.method, fields); got != c.want {
				t.Error(got)
			}
		})
	}
}

func TestWriteReplacesWhatSpokeOfAnotherAnswer(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("ETag", `"1"`)
	w.Header().Set("Content-Type", "application/json")
	Write(w, &model.Error{Code: model.CredentialInvalid, Message: "No."}, Facts{RequestID: "r", Challenges: []string{"Basic", "Bearer"}})
	if w.Code != 401 || w.Header().Get("ETag") != "" || len(w.Header()["Www-Authenticate"]) != 2 || len(w.Header()["Content-Type"]) != 1 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func FuzzAcceptNeverPanicsAndNeedsTheName(f *testing.F) {
	f.Add("text/html;q=0.5,*/*")
	f.Add(";;,,=;q=")
	f.Fuzz(func(t *testing.T, accept string) {
		if WantsHTML("GET", []model.Field{{Name: "Accept", Value: accept}}) && !strings.Contains(strings.ToLower(accept), "text/html") {
			t.Errorf("%q", accept)
		}
	})
}
