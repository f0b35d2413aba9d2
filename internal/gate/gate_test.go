package gate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/model"
)

func TestDecide(t *testing.T) {
	w := newWorld(t, settled)
	alice, bob := password("alice", "alices"), password("bob", "alices")
	for _, c := range []struct {
		name    string
		request string
		fields  []string
		want    model.Code
		step    gate.Step
	}{
		{"a password and a role", "GET /orders/1", []string{"Authorization", alice}, model.Allowed, ""},
		{"an API key and a role", "POST /orders", []string{"X-API-Key", w.key}, model.Allowed, ""},
		{"a token and a role", "DELETE /orders/1", []string{"Authorization", w.token("alice")}, model.Allowed, ""},
		{"GET includes HEAD", "HEAD /orders/1", []string{"Authorization", bob}, model.Allowed, ""},
		{"no role permits it", "POST /orders", []string{"Authorization", bob}, model.PermissionDenied, gate.StepAuthorise},
		{"no credential", "GET /orders", nil, model.CredentialMissing, gate.StepAuthenticate},
		{"a wrong password", "GET /orders", []string{"Authorization", password("alice", "x")}, model.CredentialInvalid, gate.StepAuthenticate},
		{"an unknown user", "GET /orders", []string{"Authorization", password("eve", "x")}, model.CredentialInvalid, gate.StepAuthenticate},
		{"one bad credential beside a good one", "GET /orders", []string{"Authorization", password("alice", "x"), "X-API-Key", w.key}, model.CredentialInvalid, gate.StepAuthenticate},
		{"two users in one request", "GET /orders", []string{"Authorization", bob, "X-API-Key", w.key}, model.CredentialInvalid, gate.StepResolve},
		{"two credentials of one user", "GET /orders", []string{"Authorization", alice, "X-API-Key", w.key}, model.Allowed, ""},
		{"a token whose user nobody knows", "GET /orders", []string{"Authorization", w.token("mallory")}, model.CredentialInvalid, gate.StepResolve},
		{"a public route asks nobody", "GET /open", nil, model.Allowed, ""},
		{"a bad credential does not matter on a public route", "GET /open", []string{"Authorization", password("alice", "x")}, model.Allowed, ""},
		{"nobody on an optional route", "GET /maybe", nil, model.Allowed, ""},
		{"somebody on an optional route", "GET /maybe", []string{"Authorization", alice}, model.Allowed, ""},
		{"a bad credential on an optional route", "GET /maybe", []string{"Authorization", password("alice", "x")}, model.CredentialInvalid, gate.StepAuthenticate},
		{"any active user where no role is asked for", "DELETE /anyone", []string{"Authorization", bob}, model.Allowed, ""},
		{"no such route", "GET /nowhere", nil, model.RouteNotFound, gate.StepMatch},
		{"a path that hides where it leads (CVE-2026-33494)", "GET /open/%2e%2e/orders", nil, model.PathAmbiguous, gate.StepMatch},
		{"dot segments lead where they lead", "GET /open/../orders", nil, model.CredentialMissing, gate.StepAuthenticate},
		{"an encoded slash on a canonical route", "GET /open/a%2Fb", nil, model.PathAmbiguous, gate.StepMatch},
		{"an encoded slash on a verbatim route", "GET /files/a%2Fb", nil, model.Allowed, ""},
		{"a fragment (GHSA-pxq7-h93f-9jrg)", "GET /orders#/open", nil, model.RequestMalformed, gate.StepMatch},
		{"the host in other spelling is the same (CVE-2026-48794)", "GET /orders", []string{"Host", "API.Example.COM.:443"}, model.CredentialMissing, gate.StepAuthenticate},
		{"a request that was here before", "GET /open", []string{"CDN-Loop", "sallyport-1"}, model.LoopDetected, gate.StepLoop},
		{"report records and lets pass", "GET /trial", []string{"Authorization", password("alice", "alices")}, model.Allowed, ""},
	} {
		ex := w.ask(c.request, c.fields...)
		if ex.Code() != c.want || c.step != "" && ex.Step != c.step {
			t.Errorf("%s: %s at %s (%s), want %s at %s", c.name, ex.Code(), ex.Step, ex.Detail, c.want, c.step)
		}
	}
}

func TestEveryRequestIsRecordedOnceWhateverBecomesOfIt(t *testing.T) {
	w := newWorld(t, settled)
	for i, request := range []string{"GET /open", "GET /nowhere", "GET /orders", "GET /open/%5c"} {
		w.ask(request)
		if w.ledger.n != i+1 {
			t.Errorf("%s: %d records after %d requests", request, w.ledger.n, i+1)
		}
	}
	w.ledger.fail = errors.New("disk full")
	if ex := w.ask("GET /open"); ex.Code() != model.AuditUnavailable || ex.Step != gate.StepRecord {
		t.Errorf("passes unrecorded: %s", ex.Code())
	}
}

func TestNoPlanNoService(t *testing.T) {
	w := newWorld(t, settled)
	w.plan = nil
	if ex := w.ask("GET /open"); ex.Code() != model.ConfigurationUnavailable {
		t.Errorf("%s", ex.Code())
	}
}

// "Cannot check" is 503, never 401 and never a pass.
func TestAStoreThatIsAwayIsNeitherAWrongPasswordNorAnOpenDoor(t *testing.T) {
	w := newWorld(t, settled)
	w.ask("GET /orders", "X-API-Key", w.key)
	w.people.down = true
	if ex := w.ask("GET /orders", "X-API-Key", w.key); ex.Err != nil {
		t.Errorf("a known caller: %v", ex.Err)
	}
	if ex := w.ask("GET /orders", "Authorization", password("bob", "alices")); ex.Code() != model.IdentityUnavailable {
		t.Errorf("an unknown caller: %s", ex.Code())
	}
	if ex := w.ask("GET /open"); ex.Err != nil {
		t.Errorf("a public route: %v", ex.Err)
	}
}

func TestANewTokenThatSaysNothingNewNeedsNoStore(t *testing.T) {
	w := newWorld(t, settled)
	if ex := w.ask("GET /orders", "Authorization", w.token("alice")); ex.Err != nil {
		t.Fatal(ex.Err, ex.Detail)
	}
	w.directory.Invalidate("1") // as the write side does that has linked her
	if ex := w.ask("GET /orders", "Authorization", w.token("alice", func(c map[string]any) { c["jti"] = "2" })); ex.Err != nil {
		t.Fatal(ex.Err, ex.Detail)
	}
	w.people.mu.Lock()
	w.people.down = true
	asked := w.people.asked
	w.people.mu.Unlock()
	if ex := w.ask("GET /orders", "Authorization", w.token("alice", func(c map[string]any) { c["jti"] = "3" })); ex.Err != nil {
		t.Error(ex.Err, ex.Detail)
	}
	if w.people.asked != asked {
		t.Error("the store was asked")
	}
	// One that says something else is worth asking, and nobody fails for it.
	if ex := w.ask("GET /orders", "Authorization", w.token("alice", func(c map[string]any) { c["preferred_username"] = "alicia" })); ex.Err != nil {
		t.Error(ex.Err, ex.Detail)
	}
	if w.people.asked == asked {
		t.Error("the store was not asked")
	}
	if ex := w.ask("GET /orders", "Authorization", w.token("bob")); ex.Err == nil || ex.Err.Code != model.IdentityUnavailable {
		t.Error("an unknown user:", ex.Err)
	}
}

func TestSwitchingAuthenticationOffOpensNoDoor(t *testing.T) {
	w := newWorld(t, strings.Replace(settled, "enabled: true", "enabled: false", 1))
	for request, want := range map[string]model.Code{"GET /orders": model.AuthenticationDisabled, "GET /maybe": model.AuthenticationDisabled, "GET /anyone": model.AuthenticationDisabled, "GET /open": model.Allowed} {
		ex := w.ask(request, "Authorization", password("alice", "alices"), "X-User", "mallory")
		if ex.Code() != want {
			t.Errorf("%s: %s", request, ex.Code())
		}
		if ex.Err == nil && len(sent(ex, "X-User")) > 0 {
			t.Errorf("%s: the client's X-User goes on", request)
		}
	}
}

func TestTheBackendIsToldWhoCallsAndNothingElseOfIt(t *testing.T) {
	w := newWorld(t, settled)
	ex := w.ask("GET /orders", "X-API-Key", w.key, "x_user", "mallory", "X-User-Email", "m@evil", "Remote-User", "root",
		"X-Forwarded-For", "6.6.6.6", "X-Request-Id", "chosen", "Connection", "X-User, X-Sallyport-Assertion", "Cookie", "a=b; __Host-sallyport=secret; c=d", "X-CSRF-Token", "t")
	if ex.Err != nil {
		t.Fatal(ex.Err)
	}
	for name, want := range map[string][]string{"X-User": {"alice"}, "X-User-Id": {"1"}, "X-User-Email": {"alice@example.com"}, "X-User-Groups": {"staff"},
		"X-Auth-Method": {"apiKey"}, "X-API-Key": nil, "Remote-User": nil, "x_user": nil, "X-Forwarded-For": {"192.0.2.7"}, "X-Request-Id": {"r1"},
		"Cookie": {"a=b; c=d"}, "X-CSRF-Token": nil, "Connection": nil, "Via": {"1.1 sallyport-1"}, "CDN-Loop": {"sallyport-1"}} {
		if got := sent(ex, name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a := sent(ex, "X-Sallyport-Assertion"); len(a) != 1 || strings.Count(a[0], ".") != 2 {
		t.Errorf("assertion: %q", a)
	}
	if !slices.Equal(ex.Forged, []string{"x_user", "X-User-Email"}) {
		t.Errorf("forged: %v", ex.Forged)
	}
}

// Caddy CVE-2026-30851: a user without an address must not lend its header to the client.
func TestAFieldThatTheUserLacksIsNotSentAtAll(t *testing.T) {
	w := newWorld(t, settled)
	ex := w.ask("GET /orders", "Authorization", password("bob", "alices"), "X-User-Email", "root@example.com")
	if ex.Err != nil || len(sent(ex, "X-User-Email")) != 0 {
		t.Errorf("%v %v", ex.Err, sent(ex, "X-User-Email"))
	}
}

func TestPublicRoutesGetNoIdentityAndKeepAuthorization(t *testing.T) {
	w := newWorld(t, settled)
	ex := w.ask("GET /open", "Authorization", "Custom abc", "X-User", "mallory", "Cookie", "__Host-sallyport=s")
	if !slices.Equal(sent(ex, "Authorization"), []string{"Custom abc"}) || len(sent(ex, "X-User")) > 0 || len(sent(ex, "Cookie")) > 0 || len(sent(ex, "X-Sallyport-Assertion")) > 0 {
		t.Errorf("%+v %+v", ex.Fields, ex.Add)
	}
}

func TestTheCallersCredentialIsStrippedOrForwardedAsTheServiceSays(t *testing.T) {
	forwarding := strings.Replace(settled, `8080"}]}]`, `8080"}], callerCredential: forward, present: {header: X-Backend-Key, value: s3cret}}]`, 1)
	for document, want := range map[string]int{settled: 0, forwarding: 1} {
		w := newWorld(t, document)
		ex := w.ask("GET /orders", "Authorization", password("alice", "alices"), "X-Backend-Key", "mine")
		if got := sent(ex, "Authorization"); len(got) != want {
			t.Errorf("Authorization: %q, want %d", got, want)
		}
		if want == 1 && !slices.Equal(sent(ex, "X-Backend-Key"), []string{"s3cret"}) {
			t.Errorf("present: %q", sent(ex, "X-Backend-Key"))
		}
		if ex = w.ask("GET /orders", "Authorization", w.token("alice"), "DPoP", "proof"); ex.Err != nil || len(sent(ex, "DPoP")) != want {
			t.Errorf("DPoP beside a token: %v %q, want %d", ex.Err, sent(ex, "DPoP"), want)
		}
		if ex = w.ask("GET /orders", "Authorization", password("alice", "alices"), "DPoP", "proof"); len(sent(ex, "DPoP")) != 0 {
			t.Error("a DPoP proof goes on that has proved nothing")
		}
		// A scheme that proved nothing is not the caller's credential.
		if ex = w.ask("GET /maybe", "Authorization", "Negotiate abc"); len(sent(ex, "Authorization")) != 0 {
			t.Errorf("an unproven credential goes on: %q", sent(ex, "Authorization"))
		}
	}
}

func TestAnInactiveOrExpiredUserIsRefusedByEveryMethod(t *testing.T) {
	past := time.Now().Add(-time.Second)
	for name, change := range map[string]func(*model.User){
		"inactive": func(u *model.User) { u.Active = false },
		"expired":  func(u *model.User) { u.ExpiresAt = &past },
	} {
		w := newWorld(t, settled)
		credentials := [][]string{{"X-API-Key", w.key}, {"Authorization", password("alice", "alices")}, {"Authorization", w.token("alice")}}
		for _, c := range credentials {
			if ex := w.ask("GET /orders", c...); ex.Err != nil {
				t.Fatal(ex.Err, ex.Detail)
			}
		}
		w.people.mu.Lock()
		change(w.people.users["1"])
		w.people.mu.Unlock()
		w.directory.Invalidate("1")
		for _, c := range credentials { // authentik CVE-2025-64521: every credential type
			if ex := w.ask("GET /orders", c...); ex.Code() != model.CredentialInvalid {
				t.Errorf("%s: %s by %s", name, ex.Code(), c[0])
			}
		}
	}
}

// Pomerium CVE-2021-41230: decisions on stale groups.
func TestAChangeOfGroupsAndRolesIsFeltOnTheNextRequest(t *testing.T) {
	w := newWorld(t, settled)
	if ex := w.ask("POST /orders", "X-API-Key", w.key); ex.Err != nil {
		t.Fatal(ex.Err)
	}
	w.people.mu.Lock()
	w.people.users["1"].Roles = nil
	w.people.mu.Unlock()
	w.directory.Invalidate("1")
	if ex := w.ask("POST /orders", "X-API-Key", w.key); ex.Code() != model.PermissionDenied {
		t.Errorf("%s", ex.Code())
	}
	set, faults := parse(strings.Replace(settled, "{name: staff, roles: [reader]}", "{name: staff, roles: [writer]}", 1))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if w.plan, faults = gate.Compile(set, w.env); len(faults) > 0 {
		t.Fatal(faults)
	}
	if ex := w.ask("POST /orders", "X-API-Key", w.key); ex.Err != nil {
		t.Errorf("the group's new role is not felt: %v", ex.Err)
	}
}

func TestACredentialsAddressesAndScopesNarrowIt(t *testing.T) {
	w := newWorld(t, settled)
	limit := func(addresses, scopes []string) {
		w.people.mu.Lock()
		u := w.people.users["1"]
		u.Credentials = slices.Clone(u.Credentials)
		u.Credentials[1].Addresses, u.Credentials[1].Scopes = addresses, scopes
		w.people.mu.Unlock()
		w.directory.Invalidate("1")
	}
	limit([]string{"10.0.0.0/8"}, nil)
	if ex := w.ask("GET /orders", "X-API-Key", w.key); ex.Code() != model.AddressRefused {
		t.Errorf("from elsewhere: %s", ex.Code())
	}
	limit([]string{"192.0.2.0/24"}, []string{"orders:GET"})
	if ex := w.ask("GET /orders", "X-API-Key", w.key); ex.Err != nil {
		t.Errorf("within both: %v", ex.Err)
	}
	if ex := w.ask("POST /orders", "X-API-Key", w.key); ex.Code() != model.PermissionDenied {
		t.Errorf("outside the scope: %s", ex.Code())
	}
	if ex := w.ask("GET /anyone", "X-API-Key", w.key); ex.Code() != model.PermissionDenied {
		t.Errorf("a narrowed key where no permission is asked for: %s", ex.Code())
	}
}

func TestCORSAndCSRFOfAnAmbientCredential(t *testing.T) {
	w := newWorld(t, settled)
	alice := []string{"Authorization", password("alice", "alices")}
	ex := w.ask("OPTIONS /app/x", "Origin", "https://app.example.com", "Access-Control-Request-Method", "PUT")
	if ex.Err != nil || !ex.Preflight {
		t.Fatalf("preflight: %v", ex.Err)
	}
	if !slices.ContainsFunc(ex.Response, func(f model.Field) bool {
		return f.Name == "Access-Control-Allow-Origin" && f.Value == "https://app.example.com"
	}) {
		t.Errorf("the preflight allows nothing: %+v", ex.Response)
	}
	if ex = w.ask("OPTIONS /app/x", "Origin", "https://evil.example", "Access-Control-Request-Method", "PUT"); ex.Code() != model.OriginRefused {
		t.Errorf("a foreign preflight: %s", ex.Code())
	}
	if ex = w.ask("OPTIONS /orders", "Origin", "https://app.example.com", "Access-Control-Request-Method", "PUT"); ex.Code() != model.CredentialMissing {
		t.Errorf("without cors OPTIONS is an ordinary request: %s", ex.Code())
	}
	if ex = w.ask("PUT /app/x", append(alice, "Origin", "https://evil.example")...); ex.Code() != model.OriginRefused || ex.Step != gate.StepCSRF {
		t.Errorf("a foreign write: %s", ex.Code())
	}
	if ex = w.ask("PUT /app/x", append(alice, "Origin", "https://app.example.com")...); ex.Code() != model.CSRFFailed {
		t.Errorf("without a token: %s", ex.Code())
	}
	ex = w.ask("GET /app/x", append(alice, "Sec-Fetch-Site", "same-origin")...)
	cookie := ""
	for _, f := range ex.Response {
		if f.Name == "Set-Cookie" {
			cookie, _, _ = strings.Cut(f.Value, ";")
		}
	}
	token, ok := strings.CutPrefix(cookie, csrf.Cookie+"=")
	if !ok {
		t.Fatalf("no cookie: %+v", ex.Response)
	}
	if ex = w.ask("PUT /app/x", append(alice, "Origin", "https://app.example.com", "Cookie", cookie, "X-CSRF-Token", token)...); ex.Err != nil {
		t.Errorf("with the token: %v %s", ex.Err, ex.Detail)
	}
	if ex = w.ask("PUT /app/x", "Authorization", w.token("alice"), "Origin", "https://evil.example"); ex.Err != nil {
		t.Errorf("a bearer token is not ambient: %v", ex.Err)
	}
}

// The invariant behind authentik CVE-2026-25748: an allow has a subject or an
// explicit word for nobody.
func TestAnAllowHasASubjectOrARouteThatSaysNobody(t *testing.T) {
	w := newWorld(t, settled)
	for _, target := range []string{"/orders", "/open", "/maybe", "/anyone", "/trial", "/app", "/files"} {
		for _, auth := range []string{"", password("alice", "alices"), password("bob", "alices"), w.token("alice"), "Basic !!", "Bearer x.y.z", "Basic", "Bearer"} {
			ex := w.ask("GET "+target, "Authorization", auth)
			access := ""
			if ex.Route != nil {
				access = string(ex.Route.Model.Access)
			}
			if ex.Err == nil && ex.Username() == "" && access != "public" && access != "optional" {
				t.Errorf("%s with %q passes with nobody", target, auth)
			}
		}
	}
}

func TestRewriteAndBytesDecidedAreBytesForwarded(t *testing.T) {
	w := newWorld(t, strings.Replace(settled, "{name: open, paths: [/open],", "{name: open, paths: [/1.0/open], rewrite: {stripPrefix: /1.0, addPrefix: /v1},", 1))
	for request, want := range map[string]string{
		"GET /1.0/open/a?x=1&y=%2F": "/v1/open/a?x=1&y=%2F",
		"GET /1.0//open/./a":        "/v1/open/a",
		"GET /files/a%2Fb?q":        "/files/a%2Fb?q",
		"GET /files/caf%c3%a9":      "/files/caf%c3%a9",
	} {
		if ex := w.ask(request); ex.Err != nil || ex.Target != want {
			t.Errorf("%s: %q %v, want %q", request, ex.Target, ex.Err, want)
		}
	}
}

func TestExplainSaysWhatWouldHaveLetTheCallerIn(t *testing.T) {
	w := newWorld(t, settled)
	n := w.ledger.n
	d, err := w.gate.Explain(context.Background(), w.plan, gate.Question{Method: "POST", URL: "/orders/1", User: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	last := d.Steps[len(d.Steps)-1]
	if d.Outcome != "denied" || d.Code != model.PermissionDenied || d.Status != 403 || d.Route != "orders" || d.User != "bob" || last.Step != "authorise" || !strings.Contains(d.Remedy, "writer") {
		t.Errorf("%+v", d)
	}
	d, err = w.gate.Explain(context.Background(), w.plan, gate.Question{URL: "https://api.example.com/orders", Headers: map[string]string{"X-API-Key": w.key}})
	if err != nil || d.Outcome != "allowed" || d.User != "alice" {
		t.Errorf("%+v %v", d, err)
	}
	for _, s := range d.Steps {
		if strings.Contains(s.Detail, w.key) {
			t.Error("the key is told")
		}
	}
	if w.ledger.n != n {
		t.Error("explain leaves audit events of requests that never were")
	}
	if _, err = w.gate.Explain(context.Background(), w.plan, gate.Question{URL: "/", User: "nobody-here"}); err == nil {
		t.Error("an unknown user is explained")
	}
}

func TestPolicyTestsRefuseASet(t *testing.T) {
	w := newWorld(t, settled)
	users := func(name string) *model.User {
		return w.people.users[map[string]string{"alice": "1", "bob": "2"}[name]]
	}
	w.plan.Set.Expect = []model.Expectation{
		{As: "bob", Request: "POST /orders", Then: model.PermissionDenied},
		{Request: "GET /orders", Then: model.CredentialMissing},
		{As: "alice", Request: "POST /orders", Then: model.Allowed},
	}
	if f := w.gate.CheckExpectations(context.Background(), w.plan, users); len(f) > 0 {
		t.Errorf("%v", f)
	}
	w.plan.Set.Expect = []model.Expectation{{As: "bob", Request: "POST /orders", Then: model.Allowed}, {As: "eve", Request: "GET /", Then: model.Allowed}, {Request: "nonsense", Then: model.Allowed}}
	if f := w.gate.CheckExpectations(context.Background(), w.plan, users); len(f) != 3 {
		t.Errorf("%v", f)
	}
}

// Switching authentication off closes doors and opens none: a policy test must not
// stand in its way.
func TestPolicyTestsDoNotKeepAuthenticationFromBeingSwitchedOff(t *testing.T) {
	w := newWorld(t, strings.Replace(settled, "enabled: true", "enabled: false", 1))
	users := func(string) *model.User { return w.people.users["2"] }
	w.plan.Set.Expect = []model.Expectation{
		{As: "bob", Request: "POST /orders", Then: model.PermissionDenied},
		{As: "bob", Request: "GET /orders", Then: model.AuthenticationDisabled},
	}
	if f := w.gate.CheckExpectations(context.Background(), w.plan, users); len(f) > 0 {
		t.Errorf("%v", f)
	}
}
