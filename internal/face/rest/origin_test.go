package rest

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func TestWritesOfOtherOriginsAreRefusedWhateverTheyPresent(t *testing.T) {
	w := newWorld(t)
	overTLS := func(r *http.Request) { r.TLS = &tls.ConnectionState{} }
	for _, c := range []struct {
		name  string
		edits []func(*http.Request)
		ok    bool
	}{
		{"a program", nil, true},
		{"the same origin", []func(*http.Request){header("Origin", "http://example.com")}, true},
		{"the same origin, spelled with its port", []func(*http.Request){header("Origin", "http://EXAMPLE.com:80")}, true},
		{"the same origin over TLS", []func(*http.Request){overTLS, header("Origin", "https://example.com", "Sec-Fetch-Site", "same-origin")}, true},
		{"a person who typed", []func(*http.Request){header("Sec-Fetch-Site", "none")}, true},
		{"behind a front end that ends TLS", []func(*http.Request){header("Origin", "https://example.com", "Sec-Fetch-Site", "same-origin")}, true},
		{"another site", []func(*http.Request){header("Sec-Fetch-Site", "cross-site")}, false},
		{"a sibling", []func(*http.Request){header("Sec-Fetch-Site", "same-site")}, false},
		{"another origin", []func(*http.Request){header("Origin", "http://evil.example")}, false},
		{"another port", []func(*http.Request){header("Origin", "http://example.com:8080")}, false},
		{"another scheme", []func(*http.Request){header("Origin", "https://example.com")}, false},
		{"a suffix without its dot", []func(*http.Request){header("Origin", "http://evilexample.com")}, false},
		{"a prefix", []func(*http.Request){header("Origin", "http://example.com.evil.example")}, false},
		{"user information", []func(*http.Request){header("Origin", "http://example.com@evil.example")}, false},
		{"an opaque origin", []func(*http.Request){header("Origin", "null")}, false},
		{"two origins", []func(*http.Request){header("Origin", "http://example.com", "Origin", "http://evil.example")}, false},
		{"two words on the site", []func(*http.Request){header("Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site")}, false},
		{"another origin that claims the same site", []func(*http.Request){header("Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			a := w.do("PUT", "/v2/users/x", `{}`, c.edits...)
			if c.ok != (a.Code < 300) {
				t.Fatalf("%d %s", a.Code, a.Body)
			}
			if !c.ok {
				a.want(403, model.OriginRefused)
				w.do("POST", "/v2/users", `{}`, append(c.edits, nobody)...).want(403, model.OriginRefused)
				w.do("GET", "/v2/users", "", c.edits...).want(200)
			}
		})
	}
}

func TestAWriteNeedsAJSONContentType(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, contentType string
		ok                  bool
	}{
		{"PUT", "application/json", true}, {"PUT", "application/json; charset=utf-8", true}, {"PUT", "Application/JSON", true},
		{"PUT", "application/json; charset=latin1", false}, {"PUT", "text/plain", false}, {"PUT", "application/x-www-form-urlencoded", false},
		{"PUT", "multipart/form-data; boundary=x", false}, {"PUT", "", false}, {"PUT", "application/jsonx", false}, {"PUT", "application/merge-patch+json", false},
		{"PUT", "text/plain; application/json", false}, {"PATCH", "application/merge-patch+json", true}, {"PATCH", "application/json", true}, {"PATCH", "text/plain", false},
	} {
		w.do("PUT", "/v2/users/x", `{}`)
		a := w.do(c.method, "/v2/users/x", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", c.contentType) })
		if c.ok != (a.Code == 200) {
			t.Errorf("%s %q: %d", c.method, c.contentType, a.Code)
		}
		if !c.ok {
			a.want(415, model.UnsupportedMediaType)
		}
	}
	w.do("PUT", "/v2/users/x", `{}`, header("Content-Type", "application/json")).want(415)
	w.do("PUT", "/v2/users/x", `{}`, header("Content-Encoding", "gzip")).want(415, model.UnsupportedMediaType)
	w.do("DELETE", "/v2/users/x", `x`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }).want(415, model.UnsupportedMediaType)
}

func TestBodiesAreRefusedByWhatIsWrongWithThem(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     model.Code
		faults                   string
	}{
		{"no body", "PUT", "/v2/users/x", "", 400, model.RequestMalformed, ""},
		{"not JSON", "PUT", "/v2/users/x", "{", 400, model.RequestMalformed, ""},
		{"two documents", "PUT", "/v2/users/x", "{}{}", 400, model.RequestMalformed, ""},
		{"too deep", "PUT", "/v2/users/x", strings.Repeat("[", 100), 400, model.RequestMalformed, ""},
		{"too large", "PUT", "/v2/users/x", `{"displayName":"` + strings.Repeat("x", bodyLimit) + `"}`, 413, model.BodyTooLarge, ""},
		{"a list", "PUT", "/v2/users/x", "[]", 422, model.Invalid, ""},
		{"an unknown field", "PUT", "/v2/users/x", `{"nmae":1,"kind":7}`, 422, model.Invalid, "nmae kind"},
		{"a name given twice", "PUT", "/v2/users/x", `{"active":true,"active":false}`, 422, model.Invalid, "active"},
		{"a reference to the environment", "PUT", "/v2/users/x", `{"displayName":"${env:HOME}","emails":["${file:/etc/passwd}"]}`, 422, model.Invalid, "displayName emails[0]"},
		{"a reference in a document", "POST", "/v2/apply", `{"users":[{"username":"${env:X}"}]}`, 422, model.Invalid, "users[0].username"},
		{"another name than the path's", "PUT", "/v2/users/x", `{"username":"y"}`, 422, model.Invalid, "username"},
		{"a name that is no text", "POST", "/v2/users", `{"username":5}`, 422, model.Invalid, "username"},
		{"no name", "POST", "/v2/services", `{}`, 422, model.Invalid, "name"},
		{"a body where none belongs", "POST", "/v2/revisions/1/rollback", `{"x":1}`, 422, model.Invalid, ""},
		{"a patch that is no object", "PATCH", "/v2/administrators/olga", `["x"]`, 422, model.Invalid, ""},
		{"a limit, which is not built", "PUT", "/v2/routes/r", `{"paths":["/"],"service":"s","limits":["x"]}`, 422, model.Invalid, "limits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			a := w.do(c.method, c.path, c.body).want(c.status, c.code)
			if c.faults != "" && a.faults() != c.faults {
				t.Errorf("faults at %q: %s", a.faults(), a.Body)
			}
		})
	}
}

func TestQueriesAreStrict(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ target, fault string }{
		{"/v2/users?dryrun=true", "query"}, {"/v2/users?limit=0", "limit"}, {"/v2/users?limit=1001", "limit"}, {"/v2/users?limit=x", "limit"},
		{"/v2/users?limit=1&limit=2", "limit"}, {"/v2/users/x?limit=1", "query"}, {"/v2/auditEvents?sort=user", "sort"}, {"/v2/auditEvents?follow=yes", "follow"},
		{"/v2/auditEvents?filter=nonsense", "filter"}, {"/v2/revisions?cursor=x", "cursor"}, {"/v2/users?cursor=%ff", "cursor"},
	} {
		if a := w.do("GET", c.target, "").want(422, model.Invalid); a.faults() != c.fault {
			t.Errorf("%s: %s", c.target, a.Body)
		}
	}
	w.do("GET", "/v2/users?a=%zz", "").want(400, model.RequestMalformed)
	w.do("PUT", "/v2/users/x?dryRun=1", `{}`).want(422, model.Invalid)
	w.do("PUT", "/v2/users/x?dry_run=true", `{}`).want(422, model.Invalid)
	w.do("GET", "/v2/users/x", "").want(404, model.NotFound) // neither became the real thing
	w.do("PUT", "/v2/users/x", `{}`, header("X-Reason", strings.Repeat("x", maxReason+1))).want(422, model.Invalid)
}
