package rest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func ifMatch(tag string) func(*http.Request) { return header("If-Match", tag) }

func TestEachCollectionIsMadeReadChangedAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v2/roles/base", `{"permissions":[{"routes":["*"],"methods":["GET"]}]}`).want(201)
	w.do("PUT", "/v2/services/base", `{"targets":[{"url":"http://127.0.0.1:1"}]}`).want(201)
	for _, c := range []struct{ kind, key, body, patch, field string }{
		{"services", "name", `"targets":[{"url":"http://127.0.0.1:9"}]`, `{"retries":3}`, "retries"},
		{"routes", "name", `"paths":["/x"],"service":"base"`, `{"access":"public"}`, "access"},
		{"roles", "name", `"permissions":[{"routes":["*"],"methods":["GET"]}]`, `{"description":"d"}`, "description"},
		{"groups", "name", `"roles":["base"]`, `{"description":"d"}`, "description"},
		{"users", "username", `"emails":["a@example.com"]`, `{"displayName":"d"}`, "displayName"},
		{"identityProviders", "name", `"type":"jwt","issuer":"https://idp.example.com","audiences":["a"]`, `{"enabled":false}`, "enabled"},
		{"administrators", "name", `"roles":["auditor"]`, `{"active":false}`, "active"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			w.t = t
			all, one := "/v2/"+c.kind, "/v2/"+c.kind+"/one"
			w.do("GET", one, "").want(404, model.NotFound)
			w.do("PATCH", one, c.patch).want(404, model.NotFound)
			w.do("DELETE", one, "").want(404, model.NotFound)
			dry := w.do("POST", all+"?dryRun=true", `{"`+c.key+`":"one",`+c.body+`}`).want(200).json()
			if ch := dry["changes"].([]any); len(ch) != 1 || dry["impact"] == nil || dry["revision"] == nil {
				t.Errorf("%v", dry)
			}
			w.do("GET", one, "").want(404)
			a := w.do("POST", all, `{"`+c.key+`":"one",`+c.body+`}`).want(201)
			if a.Header().Get("Location") != one || a.Header().Get("ETag") == "" || a.json()[c.key] != "one" {
				t.Errorf("%v %s", a.Header(), a.Body)
			}
			w.do("POST", all, `{"`+c.key+`":"one",`+c.body+`}`).want(409, model.Conflict)
			w.do("PUT", one, `{`+c.body+`}`, header("If-None-Match", "*")).want(412, model.PreconditionFailed)
			w.do("PUT", one, `{`+c.body+`}`, header("If-None-Match", `"x"`)).want(412, model.PreconditionFailed)

			g := w.do("GET", one, "").want(200)
			tag := g.Header().Get("ETag")
			if tag != a.Header().Get("ETag") {
				t.Errorf("ETag %s after creation %s", tag, a.Header().Get("ETag"))
			}
			w.do("GET", one, "", header("If-None-Match", `"other", W/`+tag)).want(304)
			w.do("GET", one, "", header("If-None-Match", `"other"`)).want(200)
			w.do("PUT", one, g.Body.String()).want(200) // what GET shows may be PUT
			p := w.do("PATCH", one, c.patch, ifMatch(tag)).want(200)
			if p.Header().Get("ETag") == tag {
				t.Error("the ETag is the same after a change")
			}
			var patch map[string]any
			if err := json.Unmarshal([]byte(c.patch), &patch); err != nil {
				t.Fatal(err)
			}
			if p.json()[c.field] != patch[c.field] {
				t.Errorf("%s", p.Body)
			}
			w.do("PATCH", one, c.patch, ifMatch(tag)).want(412, model.PreconditionFailed)
			w.do("PUT", one, `{`+c.body+`}`, ifMatch(tag)).want(412, model.PreconditionFailed)
			w.do("DELETE", one, "", ifMatch(tag)).want(412, model.PreconditionFailed)
			w.do("PATCH", one, `{"nope":1}`).want(422, model.Invalid)
			w.do("PATCH", one, `{"`+c.key+`":"two"}`).want(422, model.Invalid)
			if l := w.do("GET", all+"?limit=1000", "").want(200).json(); len(l["items"].([]any)) < 1 || l["nextCursor"] != "" {
				t.Errorf("%v", l)
			}
			w.do("DELETE", one+"?dryRun=true", "").want(200)
			if d := w.do("DELETE", one, "", ifMatch(p.Header().Get("ETag"))).want(204); d.Body.Len() != 0 {
				t.Errorf("%s", d.Body)
			}
			w.do("GET", one, "").want(404, model.NotFound)
			if a := w.do("PUT", one, `{`+c.body+`}`).want(201); a.Header().Get("Location") != one {
				t.Errorf("%v", a.Header())
			}
		})
	}
}

func TestUsernamesOfAllKindsHaveAPath(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"alice@example.com", "a/b", "a//b", "..", "Ärger 100%", "日本", `quo"te`, "a?b#c", "semi;colon"} {
		body, _ := json.Marshal(map[string]any{"username": name})
		a := w.do("POST", "/v2/users", string(body)).want(201)
		at := a.Header().Get("Location")
		if at != "/v2/users/"+url.PathEscape(name) {
			t.Errorf("%q: %s", name, at)
		}
		if got := w.do("GET", at, "").want(200).json()["username"]; got != name {
			t.Errorf("%q came back as %q", name, got)
		}
		w.do("POST", at+"/credentials", `{"type":"apiKey"}`).want(201)
		w.do("PATCH", at, `{"active":false}`).want(200)
		w.do("DELETE", at, "").want(204)
		w.do("GET", at, "").want(404)
	}
}

func TestListsComeInPages(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		w.do("PUT", "/v2/users/"+n, `{"kind":"service"}`).want(201)
	}
	var got string
	cursor := ""
	for range 4 {
		m := w.do("GET", "/v2/users?limit=2&cursor="+url.QueryEscape(cursor)+"&filter="+url.QueryEscape(`kind eq "service"`), "").want(200).json()
		for _, i := range m["items"].([]any) {
			got += i.(map[string]any)["username"].(string)
		}
		if cursor = m["nextCursor"].(string); cursor == "" {
			break
		}
	}
	if got != "abcde" {
		t.Errorf("pages hold %q", got)
	}
	w.do("GET", "/v2/users?filter="+url.QueryEscape(`nope eq "x"`), "").want(422, model.Invalid)
	w.do("GET", "/v2/users?sort=nope", "").want(422, model.Invalid)
	if m := w.do("GET", "/v2/groups", "").want(200); !strings.Contains(m.Body.String(), `"items":[]`) {
		t.Errorf("an empty page is %s", m.Body)
	}
}

func TestCredentialsAreShownOnceAndRevoked(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v2/roles/reader", `{"permissions":[{"routes":["*"],"methods":["GET"]}]}`).want(201)
	w.do("PUT", "/v2/users/alice", `{"credentials":[{"type":"password","password":"first password here"}]}`).want(201)
	a := w.do("POST", "/v2/users/alice/credentials", `{"type":"apiKey","scopes":["reader"],"addresses":["10.0.0.0/8"]}`).want(201)
	m := a.json()
	key := m["secret"].(string)
	if m["id"] == "" || m["type"] != "apiKey" || m["createdAt"] == nil || m["prefix"] == "" || !strings.HasPrefix(key, m["prefix"].(string)) || m["hash"] != nil {
		t.Errorf("%s", a.Body)
	}
	at := a.Header().Get("Location")
	list := w.do("GET", "/v2/users/alice/credentials", "").want(200)
	one := w.do("GET", at, "").want(200)
	for _, s := range []string{list.Body.String(), one.Body.String(), w.do("GET", "/v2/users/alice", "").Body.String(),
		w.do("GET", "/v2/users", "").Body.String(), w.do("GET", "/v2/export", "").Body.String(), w.do("GET", "/v2/revisions", "").Body.String(),
		w.do("GET", "/v2/administrators", "").Body.String()} {
		// Pomerium CVE-2024-39315: no part of a credential in any body.
		for _, hidden := range []string{key, key[len(key)-10:], "$argon2id", "first password here"} {
			if strings.Contains(s, hidden) {
				t.Errorf("a body holds %q: %s", hidden, s)
			}
		}
	}
	if n := len(list.json()["items"].([]any)); n != 2 {
		t.Errorf("%d credentials", n)
	}
	p := w.do("GET", "/v2/users/alice/credentials?limit=1", "").want(200).json()
	if q := w.do("GET", "/v2/users/alice/credentials?limit=1&cursor="+p["nextCursor"].(string), "").want(200).json(); q["nextCursor"] != "" || len(q["items"].([]any)) != 1 {
		t.Errorf("%v", q)
	}
	w.do("GET", "/v2/users/alice/credentials?cursor=none", "").want(422, model.Invalid)
	w.do("GET", at, "", header("If-None-Match", one.Header().Get("ETag"))).want(304)
	w.do("DELETE", at, "", ifMatch(`"other"`)).want(412, model.PreconditionFailed)
	w.do("PUT", at, `{}`).want(405, model.MethodNotAllowed)
	w.do("DELETE", at, "", ifMatch(one.Header().Get("ETag"))).want(204)
	w.do("DELETE", at, "").want(404, model.NotFound)
	w.do("GET", at, "").want(404, model.NotFound)
	w.do("GET", "/v2/users/none/credentials", "").want(404, model.NotFound)
	w.do("POST", "/v2/users/none/credentials", `{"type":"apiKey"}`).want(404, model.NotFound)
	w.do("POST", "/v2/users/alice/credentials", `{"type":"token"}`).want(422, model.Invalid)
	w.do("POST", "/v2/users/alice/credentials", `{"type":"publicKey"}`).want(422, model.Invalid)
	w.do("POST", "/v2/users/alice/credentials", `{"type":"password","password":"${env:X}"}`).want(422, model.Invalid)
	w.do("POST", "/v2/administrators/olga/credentials", `{"type":"apiKey"}`).want(422, model.Invalid)
}

func TestAPatchLeavesAloneWhatItDoesNotNameSecretsIncluded(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v2/services/s", `{"targets":[{"url":"http://127.0.0.1:9"}],"present":{"header":"X-Backend-Key","value":"s3cret-value"}}`).want(201)
	if a := w.do("PATCH", "/v2/services/s", `{"retries":2}`).want(200); a.json()["present"].(map[string]any)["value"] != model.Mask {
		t.Errorf("%s", a.Body)
	}
	set, err := w.api.CurrentSet(t.Context())
	if err != nil || set.Services[0].Present.Value != "s3cret-value" || set.Services[0].Retries != 2 {
		t.Errorf("%v %+v", err, set.Services)
	}
	w.do("PUT", "/v2/users/u", `{"credentials":[{"type":"password","password":"first password here"}]}`).want(201)
	w.do("POST", "/v2/users/u/credentials", `{"type":"apiKey"}`).want(201)
	w.do("PATCH", "/v2/users/u", `{"displayName":"U","expiresAt":"2030-01-01T00:00:00Z"}`).want(200)
	w.do("PATCH", "/v2/users/u", `{"expiresAt":null}`).want(200)
	if n := len(w.do("GET", "/v2/users/u/credentials", "").json()["items"].([]any)); n != 2 {
		t.Errorf("%d credentials are left", n)
	}
	if u := w.do("GET", "/v2/users/u", "").json(); u["displayName"] != "U" || u["expiresAt"] != nil {
		t.Errorf("%v", u)
	}
}

// SPEC 5, to the letter.
func TestReverseProxyAuthenticationIsReadReplacedAndReset(t *testing.T) {
	for _, at := range []string{"/v2/config/reverseProxyAuthentication", "/api/v2/config/reverseProxyAuthentication"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t)
			defaults := `{"enabled":false,"usernameHeader":"X-User","csrfProtectionDisabled":false,"logoutUrl":null}`
			a := w.do("GET", at, "").want(200)
			if strings.TrimSpace(a.Body.String()) != defaults || a.Header().Get("ETag") == "" || a.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%v %s", a.Header(), a.Body)
			}
			a = w.do("PUT", at, `{"enabled":true,"logoutUrl":"/bye"}`).want(200)
			if m := a.json(); m["enabled"] != true || m["usernameHeader"] != "X-User" || m["csrfProtectionDisabled"] != false || m["logoutUrl"] != "/bye" || m["warnings"] != nil {
				t.Errorf("%s", a.Body)
			}
			tag := a.Header().Get("ETag")
			w.do("GET", at, "", header("If-None-Match", tag)).want(304)
			if m := w.do("PUT", at+"?dryRun=true", `{}`).want(200).json(); m["changes"] == nil || m["warnings"] == nil {
				t.Errorf("%v", m)
			}
			if m := w.do("GET", at, "").json(); m["enabled"] != true {
				t.Error("a dry run changed something")
			}
			// Missing fields take their default, and what that turns off is said.
			a = w.do("PUT", at, `{"usernameHeader":"X-Caller"}`, ifMatch(tag)).want(200)
			if m := a.json(); m["enabled"] != false || m["logoutUrl"] != nil || len(m["warnings"].([]any)) == 0 {
				t.Errorf("%s", a.Body)
			}
			w.do("PUT", at, `{}`, ifMatch(tag)).want(412, model.PreconditionFailed)
			w.do("DELETE", at, "", ifMatch(tag)).want(412, model.PreconditionFailed)
			for _, bad := range []string{`{"enabled":"yes"}`, `{"Enabled":true}`, `{"usernameHeader":"Host"}`, `{"usernameHeader":"X-Forwarded-User"}`, `{"usernameHeader":"a b"}`,
				`{"usernameHeader":"Authorization"}`, `{"usernameHeader":"X-User-Id"}`, `{"logoutUrl":"http://evil.example/"}`, `{"logoutUrl":"//evil.example"}`, `{"logoutUrl":5}`, `{"x":1}`} {
				w.do("PUT", at, bad).want(422, model.Invalid)
			}
			if d := w.do("DELETE", at, "").want(204); d.Body.Len() != 0 {
				t.Errorf("%s", d.Body)
			}
			w.do("DELETE", at, "").want(204)
			if b := w.do("GET", at, "").want(200).Body.String(); strings.TrimSpace(b) != defaults {
				t.Error(b)
			}
			w.do("POST", at, `{}`).want(405, model.MethodNotAllowed)
			w.do("PATCH", at, `{}`).want(405, model.MethodNotAllowed)
		})
	}
}

func TestIdentityHeadersAreReadAndReplaced(t *testing.T) {
	w := newWorld(t)
	const at = "/v2/config/identityHeaders"
	if m := w.do("GET", at, "").want(200).json(); m["id"] != "X-User-Id" || m["assertion"] != "X-Sallyport-Assertion" {
		t.Errorf("%v", m)
	}
	if m := w.do("PUT", at, `{"email":"","alsoStrip":["X-Legacy"]}`).want(200).json(); m["email"] != "" || m["id"] != "X-User-Id" {
		t.Errorf("%v", m)
	}
	w.do("PUT", at, `{"email":"X-User"}`).want(422, model.Invalid)
	w.do("DELETE", at, "").want(405, model.MethodNotAllowed)
}

const document = `{"services":[{"name":"s","targets":[{"url":"http://127.0.0.1:9"}]}],
 "routes":[{"name":"r","paths":["/"],"service":"s"}],"users":[{"username":"bob"}],"settings":{"reverseProxyAuthentication":{"enabled":true}}}`

func TestADocumentIsAppliedWholeExportedAndRolledBack(t *testing.T) {
	w := newWorld(t)
	if m := w.do("POST", "/v2/apply?dryRun=true", document).want(200).json(); len(m["changes"].([]any)) != 4 {
		t.Errorf("%v", m)
	}
	w.do("GET", "/v2/services/s", "").want(404)
	m := w.do("POST", "/v2/apply", document, header("X-Reason", "go live")).want(200).json()
	if len(m["changes"].([]any)) != 4 || m["impact"] == nil {
		t.Errorf("%v", m)
	}
	if m := w.do("POST", "/v2/apply", document).want(200).json(); len(m["changes"].([]any)) != 0 {
		t.Errorf("applied twice: %v", m)
	}
	w.do("POST", "/v2/apply", `{"routes":[{"name":"r","paths":["/"],"service":"gone"}]}`).want(422, model.Invalid)
	w.do("POST", "/v2/apply", `{"users":[{"username":"a","nope":1}]}`).want(422, model.Invalid)

	page := w.do("GET", "/v2/revisions?limit=1", "").want(200).json()
	newest := page["items"].([]any)[0].(map[string]any)
	if newest["actor"] != "admin" || newest["reason"] != "go live" || page["nextCursor"] == "" {
		t.Errorf("%v", page)
	}
	if m := w.do("GET", "/v2/revisions?limit=1000&cursor="+page["nextCursor"].(string), "").want(200).json(); len(m["items"].([]any)) != 4 || m["nextCursor"] != "" {
		t.Errorf("%v", m) // the four administrators of the test
	}
	e := w.do("GET", "/v2/export", "").want(200)
	w.do("POST", "/v2/apply", e.Body.String()).want(200) // an export applies
	w.do("GET", "/v2/revisions/5", "").want(200)
	w.do("GET", "/v2/revisions/5", "", header("If-None-Match", `"5"`)).want(304)
	for _, bad := range []string{"99", "0", "-1", "x", "05"} {
		w.do("GET", "/v2/revisions/"+bad, "").want(404, model.NotFound)
		w.do("POST", "/v2/revisions/"+bad+"/rollback", "").want(404, model.NotFound)
	}
	w.do("POST", "/v2/revisions/4/rollback?dryRun=true", "").want(200)
	w.do("GET", "/v2/services/s", "").want(200)
	w.do("POST", "/v2/revisions/4/rollback", "").want(200)
	w.do("GET", "/v2/services/s", "").want(404)
	w.do("GET", "/v2/users/bob", "").want(404)
	ev := w.audit.last()
	if ev.Actor != "admin" || ev.ClientIP != "192.0.2.1" || ev.RequestID == "" || len(ev.Changes) == 0 {
		t.Errorf("%+v", ev)
	}
}

func TestPruneDeletesWhatAnEarlierApplyMade(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v2/roles/by-hand", `{"permissions":[{"routes":["*"],"methods":["GET"]}]}`).want(201)
	w.do("POST", "/v2/apply", document).want(200)
	w.do("POST", "/v2/apply?prune=true", `{"services":[{"name":"s","targets":[{"url":"http://127.0.0.1:9"}]}]}`).want(200)
	w.do("GET", "/v2/routes/r", "").want(404)
	w.do("GET", "/v2/services/s", "").want(200)
	w.do("GET", "/v2/roles/by-hand", "").want(200)
}

func TestTheLastAdminStays(t *testing.T) {
	w := newWorld(t)
	w.do("DELETE", "/v2/administrators/admin", "").want(409, model.Conflict)
	w.do("PATCH", "/v2/administrators/admin", `{"active":false}`).want(409, model.Conflict)
	w.do("PATCH", "/v2/administrators/admin", `{"roles":["auditor"]}`).want(409, model.Conflict)
	w.do("GET", "/v2/users", "").want(200)
}

func TestAnExplanationIsAskedForAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	a := w.do("POST", "/v2/explain", `{"method":"POST","url":"/1.0/orders","headers":{"X-A":"b"},"clientIP":"10.0.0.1","user":"bob"}`).want(200)
	if m := a.json(); m["outcome"] != "denied" || m["user"] != "bob" {
		t.Errorf("%s", a.Body)
	}
	w.do("POST", "/v2/explain", `{"url":"/x"}`).want(200)
	if r := w.h.Explain.(*explainer).asked; r.Method != "GET" || r.URL != "/x" {
		t.Errorf("%+v", r)
	}
	w.do("POST", "/v2/explain", `{}`).want(422, model.Invalid)
	w.do("POST", "/v2/explain", `{"url":"/x","method":5,"nope":1}`).want(422, model.Invalid)
}

func TestTheRecordIsQueried(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/v2/users", "", basicAs("admin", "wrong")).want(401)
	a := w.do("GET", "/v2/auditEvents?limit=10&sort=-time", "").want(200)
	if !strings.Contains(a.Body.String(), `"type":"login"`) {
		t.Errorf("%s", a.Body)
	}
	g := w.do("GET", "/v2/auditEvents/e1", "").want(200)
	if g.json()["id"] != "e1" || g.Header().Get("ETag") == "" {
		t.Errorf("%s", g.Body)
	}
	w.do("GET", "/v2/auditEvents/e2", "").want(404, model.NotFound)
	w.do("GET", "/v2/auditEvents/%22%20or%20%22", "").want(404, model.NotFound)
	w.do("GET", "/v2/status", "").want(200)
}

func TestEventsAreFollowedUntilTheRightToSeeThemEnds(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.h)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/v2/auditEvents?follow=true", nil)
	as("anna")(r)
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	w.audit.more <- model.Event{ID: "first", Type: model.EventAdmin}
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"id":"first"`) {
		t.Fatalf("%q", lines.Text())
	}
	w.do("PATCH", "/v2/administrators/anna", `{"active":false}`).want(200)
	if lines.Scan() {
		t.Errorf("the stream goes on: %s", lines.Text())
	}
	if ctx.Err() != nil {
		t.Error("the stream did not end")
	}
}

func TestProbesAnswerStrangersAndTellThemNothing(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/healthz", "", nobody).want(200)
	w.do("GET", "/readyz", "", nobody).want(200)
	w.h.Ready = func(context.Context) error { return errors.New("dsn=secret") }
	if a := w.do("GET", "/readyz", "", nobody).want(503, model.ConfigurationUnavailable); strings.Contains(a.Body.String(), "secret") {
		t.Errorf("%s", a.Body)
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.h.Status = func(context.Context) any { panic("secret") }
	if a := w.do("GET", "/v2/status", "").want(500, model.Internal); strings.Contains(a.Body.String(), "secret") {
		t.Errorf("%s", a.Body)
	}
	w.h.Status = func(context.Context) any { return make(chan int) }
	w.do("GET", "/v2/status", "").want(500, model.Internal)
	w.h.Status, w.h.Audit, w.h.Explain = nil, nil, nil
	w.do("GET", "/v2/status", "").want(404, model.NotFound)
	w.do("GET", "/v2/auditEvents", "").want(404, model.NotFound)
	w.do("POST", "/v2/explain", `{"url":"/"}`).want(404, model.NotFound)
}

func TestABrowserGetsAPage(t *testing.T) {
	w := newWorld(t)
	a := w.do("GET", "/v2/users/none", "", header("Accept", "text/html", "Sec-Fetch-Mode", "navigate")).want(404)
	if !strings.HasPrefix(a.Header().Get("Content-Type"), "text/html") || a.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("%v", a.Header())
	}
}
