//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// curlAdmin calls the admin API by curl, as an operator at the shell does.
func (g *gateway) curlAdmin(t testing.TB, method, path, body string, args ...string) *answer {
	t.Helper()
	args = append(args, "-u", "admin:"+adminPassword, "-X", method)
	if body != "" {
		args = append(args, "-H", "Content-Type: application/json", "-d", body)
	}
	a, exit := g.curl(t, "https://"+g.admin+path, args...)
	if exit != 0 {
		t.Fatalf("curl: exit %d: %s", exit, a.body)
	}
	return a
}

// The operations of the field's ancestor: PUT, GET and DELETE by curl, with a
// password, felt by the very next request.
func TestReverseProxyAuthenticationIsConfiguredByCurl(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for _, path := range []string{"/v2/config/reverseProxyAuthentication", "/api/v2/config/reverseProxyAuthentication"} {
			sent := func(name string) string {
				t.Helper()
				a := g.get(t, "alice", "/api")
				if a.status != 200 {
					t.Fatalf("%d %s", a.status, a.body)
				}
				return strings.Join(a.asked(t).Header.Values(name), "|")
			}
			type settings struct {
				Enabled                bool
				UsernameHeader         string
				CSRFProtectionDisabled bool
				LogoutURL              *string `json:"logoutUrl"`
				Warnings               []string
			}
			var s settings
			a := g.curlAdmin(t, "PUT", path, `{"enabled": true, "usernameHeader": "X-Remote-Customer", "logoutUrl": "https://example.com/bye"}`)
			a.expect(t, "PUT", 200, "")
			a.into(t, &s)
			if !s.Enabled || s.UsernameHeader != "X-Remote-Customer" || s.LogoutURL == nil {
				t.Errorf("PUT answered %s", a.body)
			}
			if got := sent("X-Remote-Customer"); got != "alice" {
				t.Errorf("on the very next request X-Remote-Customer is %q", got)
			}
			if got := sent("X-User"); got != "" {
				t.Errorf("the old name is still sent: %q", got)
			}
			a = g.curlAdmin(t, "GET", path, "")
			a.into(t, &s)
			etag := a.header.Get("Etag")
			if a.status != 200 || etag == "" || s.UsernameHeader != "X-Remote-Customer" || *s.LogoutURL != "https://example.com/bye" {
				t.Errorf("GET answered %d %v %s", a.status, a.header, a.body)
			}
			g.curlAdmin(t, "PUT", path, `{"enabled": true}`, "-H", `If-Match: "another"`).expect(t, "If-Match", 412, "precondition_failed")
			g.curlAdmin(t, "PUT", path, `{"enabled": true, "usernameHeader": "X-Who"}`, "-H", "If-Match: "+etag).expect(t, "If-Match", 200, "")
			if got := sent("X-Who"); got != "alice" {
				t.Errorf("X-Who is %q", got)
			}

			a = g.curlAdmin(t, "PUT", path, `{"usernameHeader": "X-Who"}`) // forgets to say enabled
			s = settings{}
			a.into(t, &s)
			if a.status != 200 || s.Enabled || len(s.Warnings) == 0 {
				t.Errorf("a PUT that turns authentication off warns: %d %s", a.status, a.body)
			}
			g.get(t, "alice", "/api").expect(t, "off", 503, "authentication_disabled")
			g.get(t, "", "/open").expect(t, "off, a public route", 200, "")

			g.curlAdmin(t, "PUT", path, `{"enabled": true}`).expect(t, "on", 200, "")
			if got := sent("X-User"); got != "alice" {
				t.Errorf("X-User is %q", got)
			}
			g.curlAdmin(t, "DELETE", path, "").expect(t, "DELETE", 204, "")
			g.get(t, "alice", "/api").expect(t, "after DELETE", 503, "authentication_disabled")
			a = g.curlAdmin(t, "GET", path, "")
			s = settings{}
			a.into(t, &s)
			if s.Enabled || s.UsernameHeader != "X-User" || s.CSRFProtectionDisabled || s.LogoutURL != nil || !strings.Contains(a.body, `"logoutUrl":null`) {
				t.Errorf("the defaults are %s", a.body)
			}
			g.curlAdmin(t, "PUT", path, `{"enabled": true}`).expect(t, "on", 200, "")

			for _, bad := range []string{
				`{"enabled": true, "usernameHeader": "Host"}`, `{"enabled": true, "usernameHeader": "Connection"}`, `{"enabled": true, "usernameHeader": "Content-Length"}`,
				`{"enabled": true, "usernameHeader": "Authorization"}`, `{"enabled": true, "usernameHeader": "Cookie"}`, `{"enabled": true, "usernameHeader": "X-Forwarded-For"}`,
				`{"enabled": true, "usernameHeader": "Via"}`, `{"enabled": true, "usernameHeader": "CDN-Loop"}`, `{"enabled": true, "usernameHeader": "X User"}`,
				`{"enabled": true, "usernameHeader": ""}`, `{"enabled": true, "usernameHeader": "X-User:"}`, `{"enabled": true, "usernameHeader": "x_user_id"}`,
				`{"enabled": true, "usernameHeader": "X-Sallyport-Assertion"}`, `{"enabled": "yes"}`, `{"enabled": true, "csrf": false}`,
				`{"enabled": true, "logoutUrl": "javascript:alert(1)"}`, `{"enabled": true, "logoutUrl": "//evil.example"}`, `{"enabled": true, "usernameHeader": "${env:HOME}"}`,
			} {
				a := g.curlAdmin(t, "PUT", path, bad)
				a.expect(t, "PUT "+bad, 422, "invalid")
				var p struct {
					Errors []struct{ Path, Message string }
				}
				a.into(t, &p)
				if len(p.Errors) == 0 || p.Errors[0].Message == "" {
					t.Errorf("PUT %s: no errors in %s", bad, a.body)
				}
			}
			if got := sent("X-User"); got != "alice" {
				t.Errorf("after refused changes X-User is %q", got)
			}
		}
		for _, c := range []struct {
			name, method string
			args         []string
			status       int
		}{
			{"no credential", "GET", nil, 401},
			{"a wrong password", "GET", []string{"-u", "admin:wrong"}, 401},
			{"a proxy user", "GET", []string{"-u", "alice:alices-password"}, 401},
			{"no JSON", "PUT", []string{"-u", "admin:" + adminPassword, "-d", "enabled=false"}, 415},
			{"a page of another origin", "PUT", []string{"-u", "admin:" + adminPassword, "-H", "Origin: https://evil.example", "-H", "Content-Type: application/json", "-d", "{}"}, 403},
			{"another method", "PATCH", []string{"-u", "admin:" + adminPassword, "-H", "Content-Type: application/json", "-d", "{}"}, 405},
		} {
			a, exit := g.curl(t, "https://"+g.admin+"/v2/config/reverseProxyAuthentication", append(c.args, "-X", c.method)...)
			if exit != 0 || a.status != c.status {
				t.Errorf("%s: exit %d, %d %s", c.name, exit, a.status, a.body)
			}
		}
		g.call(t, "GET", "/api", "", basic("admin", adminPassword)).expect(t, "an administrator passes no proxy", 401, "credential_invalid")
		if g.get(t, "alice", "/v2/config/reverseProxyAuthentication").status == 200 {
			t.Error("the proxy's listener serves the admin API")
		}
	})
}

func TestEachConfigurationIsInForceOnTheNextRequestAndNoneIsLost(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		var stop atomic.Bool
		var wg sync.WaitGroup
		var done atomic.Int64
		for _, c := range g.clients() { // load beside the changes
			for range 2 {
				wg.Go(func() {
					for !stop.Load() {
						a, err := exchange(c, "POST", g.url("/api"), "body", user("alice"))
						if err != nil || a.status != 200 {
							t.Errorf("a request beside the changes: %v %+v", err, a)
							return
						}
						var names []string
						for name := range a.asked(t).Header {
							if strings.HasPrefix(name, "X-Name-") {
								names = append(names, name)
							}
						}
						if len(names) > 1 {
							t.Errorf("decided under two configurations: %v", names)
						}
						done.Add(1)
					}
				})
			}
		}
		for i := range 60 {
			name := fmt.Sprintf("X-Name-%d", i)
			g.must(t, 200, "PUT", "/v2/config/reverseProxyAuthentication", `{"enabled":true,"usernameHeader":"`+name+`"}`)
			if got := g.get(t, "alice", "/api").asked(t).Header.Get(name); got != "alice" {
				t.Errorf("change %d is not in force on the next request", i)
			}
		}
		stop.Store(true)
		wg.Wait()
		t.Logf("%d requests beside 60 changes", done.Load())
		var list struct {
			Items []struct{ Number int64 }
		}
		g.must(t, 200, "GET", "/v2/revisions?limit=5", "").into(t, &list)
		if len(list.Items) != 5 {
			t.Errorf("revisions %+v", list)
		}
	})
}
