package rest

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"encoding/json"

	"github.com/sallyport/sallyport/internal/model"
)

var braces = regexp.MustCompile(`\{\w+\}`)

// Every entry of the mount table but the two probes is guarded (Pomerium
// CVE-2021-29652: one middleware of many did not check).
func TestEveryOperationButTheProbesAsksForALogin(t *testing.T) {
	w := newWorld(t)
	if len(w.h.operations) < 50 {
		t.Fatalf("only %d operations", len(w.h.operations))
	}
	for _, op := range w.h.operations {
		path := braces.ReplaceAllString(op.Path, "1")
		probe := op.Path == "/healthz" || op.Path == "/readyz"
		if op.Open != probe {
			t.Errorf("%s %s: open is %v", op.Method, op.Path, op.Open)
		}
		for _, credential := range []func(*http.Request){nobody,
			header("Authorization", "Basic YWRtaW46d3Jvbmc="), // a second field beside the right one
			func(r *http.Request) { r.Header.Set("Authorization", "Bearer sp_abc") },
			func(r *http.Request) { r.Header.Set("Authorization", "Digest x") },
			func(r *http.Request) { r.Header.Set("Authorization", "Basic !") },
			func(r *http.Request) { nobody(r); r.Header.Set("X-User", "admin"); r.Header.Set("Cookie", "session=1") }} {
			a := w.do(op.Method, path, "", credential)
			w.clock.forward(time.Hour)
			switch {
			case probe && a.Code != 200:
				t.Errorf("%s %s answers %d", op.Method, path, a.Code)
			case !probe && (a.Code != 401 || len(a.Header()["Www-Authenticate"]) != 2):
				t.Errorf("%s %s answers %d %v", op.Method, path, a.Code, a.Header())
			}
		}
	}
}

// What is not in the table is not there, by whole segments and to the letter
// (Caddy 2d3327148), and nobody learns so without a login.
func TestPathsAreComparedByWholeSegments(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/v2", "/v2/", "/v2/users/", "/v2/usersX", "/V2/users", "/v2//users", "/v2/config/reverseProxyAuthenticationX",
		"/v2/config/reverseProxyAuthentication/", "/v2/config/", "/api/v2/users", "/api/v2/config/identityHeaders", "/v2/healthz", "/healthz/", "/healthzX",
		"/debug/pprof/", "/metrics", "/v2/openapi.json/..", "/v2/limits", "/v2/sessions", "/v2/directories", "/v2/decisions/1", "/v2/revocations", "/v2%2Fusers", "/v2/users/a/b"} {
		t.Run(path, func(t *testing.T) {
			w.t = t
			w.do("GET", path, "", nobody).want(401, model.CredentialMissing)
			w.do("GET", path, "").want(404, model.NotFound)
		})
	}
}

func TestAnotherMethodIsMetWithTheListOfMethods(t *testing.T) {
	w := newWorld(t)
	for path, allow := range map[string]string{"/v2/users": "GET, HEAD, POST", "/v2/users/x": "DELETE, GET, HEAD, PATCH, PUT",
		"/v2/apply": "POST", "/v2/config/identityHeaders": "GET, HEAD, PUT", "/v2/users/x/credentials/1": "DELETE, GET, HEAD"} {
		a := w.do("OPTIONS", path, "").want(405, model.MethodNotAllowed)
		if got := a.Header().Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, want %q", path, got, allow)
		}
	}
	w.do("POST", "/healthz", "", nobody).want(401)
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	w := newWorld(t)
	if a := w.do("HEAD", "/v2/config/reverseProxyAuthentication", "").want(200); a.Body.Len() != 0 || a.Header().Get("ETag") == "" {
		t.Errorf("%v %s", a.Header(), a.Body)
	}
	if a := w.do("HEAD", "/v2/users/none", "").want(404); a.Body.Len() != 0 {
		t.Errorf("%s", a.Body)
	}
}

func TestPathsThatAreNotUTF8AreMalformed(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/v2/users/%ff", "").want(400, model.RequestMalformed)
}

func described() []byte {
	h := &Handler{}
	h.operations = h.mount()
	return h.describe()
}

const reference = "../../../docs/reference/openapi.json"

func TestTheOpenAPIDocumentIsCurrent(t *testing.T) {
	got := described()
	if *update {
		if err := os.WriteFile(reference, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/reference/openapi.json is not what the code says; run: go test ./internal/face/rest -run OpenAPI -update")
	}
}

func TestTheOpenAPIDocumentHasEveryOperationAndNoOther(t *testing.T) {
	w := newWorld(t)
	a := w.do("GET", "/v2/openapi.json", "").want(200)
	var doc struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(a.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Errorf("%+v", doc)
	}
	described := map[string]bool{}
	for path, methods := range doc.Paths {
		for m := range methods {
			if m != "parameters" {
				described[strings.ToUpper(m)+" "+path] = true
			}
		}
	}
	ids := map[string]bool{}
	for _, op := range w.h.operations {
		key := op.Method + " " + op.Path
		if !described[key] {
			t.Errorf("%s is served and not described", key)
		}
		delete(described, key)
		if ids[op.ID] || op.Summary == "" || op.Tag == "" || op.Status == 0 || op.serve == nil {
			t.Errorf("%s is not whole, or its id %s is taken", key, op.ID)
		}
		ids[op.ID] = true
	}
	for key := range described {
		t.Errorf("%s is described and not served", key)
	}
}

func TestReferencesWithinTheOpenAPIDocumentLeadSomewhere(t *testing.T) {
	b := described()
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"\$ref": "#/([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
		at := doc
		for _, p := range strings.Split(m[1], "/") {
			p, _ = url.PathUnescape(p)
			at = at.(map[string]any)[p]
			if at == nil {
				t.Fatalf("%s leads nowhere", m[1])
			}
		}
		if len(at.(map[string]any)) == 0 {
			t.Errorf("%s is empty", m[1])
		}
	}
}
