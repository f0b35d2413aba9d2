package rest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store"
)

func basicAs(name, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(name, password) }
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func TestARefusedLoginSaysNotWhichHalfWasWrongAndLeavesAnEvent(t *testing.T) {
	w := newWorld(t)
	full, _, _, _ := secret.NewAdminToken()
	key, _, _, _ := secret.NewAPIKey()
	for _, c := range []struct {
		name   string
		edit   func(*http.Request)
		code   model.Code
		actor  string
		reason string
	}{
		{"a wrong password", basicAs("admin", "wrong"), model.CredentialInvalid, "admin", "wrong password"},
		{"an unknown administrator", basicAs("nobody", "wrong"), model.CredentialInvalid, "nobody", "no such administrator"},
		{"a password in the name's place", basicAs("S3cret!Password", ""), model.CredentialInvalid, "", "no such administrator"},
		{"an empty password", basicAs("admin", ""), model.CredentialInvalid, "admin", "wrong password"},
		{"an unknown token", bearer(full), model.CredentialInvalid, "", "an unknown token"},
		{"a user's API key", bearer(key), model.CredentialInvalid, "", "not an administrator's token"},
		{"no base64", func(r *http.Request) { r.Header.Set("Authorization", "Basic %%%") }, model.CredentialInvalid, "", "a Basic field that is not base64 of name:password"},
		{"an unknown scheme", func(r *http.Request) { r.Header.Set("Authorization", "Negotiate x") }, model.CredentialInvalid, "", "an unknown scheme of Authorization"},
		{"two credentials", header("Authorization", "Basic x"), model.CredentialInvalid, "", "two Authorization fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			a := w.do("GET", "/v2/users", "", c.edit).want(401, c.code)
			if a.json()["detail"] != "The credential was not accepted." {
				t.Errorf("%s", a.Body)
			}
			e := w.audit.last()
			if e.Type != model.EventLogin || e.Outcome != "denied" || e.Actor != c.actor || e.Reason != c.reason || e.Code != c.code ||
				e.RequestID != a.Header().Get("X-Request-Id") || e.ClientIP != "192.0.2.1" || e.Status != 401 {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestAUserIsNoAdministrator(t *testing.T) {
	w := newWorld(t)
	w.do("POST", "/v2/users", `{"username":"alice","credentials":[{"type":"password","password":"correct horse battery"}]}`).want(201)
	key := w.do("POST", "/v2/users/alice/credentials", `{"type":"apiKey"}`).want(201).json()["secret"].(string)
	w.do("GET", "/v2/users", "", as("alice")).want(401, model.CredentialInvalid)
	w.do("GET", "/v2/users", "", bearer(key)).want(401, model.CredentialInvalid)
	w.do("GET", "/v2/users", "", nobody, header("X-API-Key", key)).want(401, model.CredentialMissing)
}

func TestATokenLogsInUntilItIsTakenAway(t *testing.T) {
	w := newWorld(t)
	a := w.do("POST", "/v2/administrators/olga/credentials", `{"type":"token"}`).want(201)
	tok := a.json()["secret"].(string)
	if !strings.HasPrefix(tok, "spa_") || strings.Contains(a.Body.String(), `"hash"`) {
		t.Fatalf("%s", a.Body)
	}
	w.do("GET", "/v2/users", "", bearer(tok)).want(200)
	w.do("GET", "/v2/administrators", "", bearer(tok)).want(403, model.PermissionDenied)
	w.do("DELETE", a.Header().Get("Location"), "").want(204)
	w.do("GET", "/v2/users", "", bearer(tok)).want(401, model.CredentialInvalid)
}

func TestACredentialCountsOnlyWhileItAndItsOwnerAreInForce(t *testing.T) {
	w := newWorld(t)
	soon := w.clock.now().Add(time.Hour).UTC().Format(time.RFC3339)
	tok := w.do("POST", "/v2/administrators/olga/credentials", `{"type":"token","expiresAt":"`+soon+`","addresses":["192.0.2.0/24"]}`).want(201).json()["secret"].(string)
	w.do("GET", "/v2/users", "", bearer(tok)).want(200)
	w.do("GET", "/v2/users", "", bearer(tok), func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1" }).want(403, model.AddressRefused)
	w.clock.forward(2 * time.Hour)
	w.do("GET", "/v2/users", "", bearer(tok)).want(401, model.CredentialExpired)

	w.do("GET", "/v2/users", "", as("olga")).want(200) // remembered now
	w.do("PATCH", "/v2/administrators/olga", `{"active":false}`).want(200)
	w.do("GET", "/v2/users", "", as("olga")).want(401, model.CredentialInvalid)
	w.do("PATCH", "/v2/administrators/olga", `{"active":true}`).want(200)
	w.do("GET", "/v2/users", "", as("olga")).want(200)
	w.do("POST", "/v2/administrators/olga/credentials", `{"type":"password","password":"another one entirely"}`).want(201)
	w.do("GET", "/v2/users", "", as("olga")).want(401, model.CredentialInvalid)
	w.do("DELETE", "/v2/administrators/olga", "").want(204)
	w.do("GET", "/v2/users", "", basicAs("olga", "another one entirely")).want(401, model.CredentialInvalid)
}

func TestARightPasswordIsHashedOnceInAWhileAndAWrongOneEachTime(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.do("GET", "/v2/users", "").want(200)
	}
	if n := w.verified.n.Load(); n != 1 {
		t.Errorf("%d hashes for five right logins", n)
	}
	w.do("GET", "/v2/users", "", basicAs("admin", "wrong")).want(401)
	w.do("GET", "/v2/users", "", basicAs("unknown", "wrong")).want(401)
	w.do("GET", "/v2/users", "", basicAs("Not A Name", "wrong")).want(401)
	if n := w.verified.n.Load(); n != 4 {
		t.Errorf("%d hashes: an unknown name must cost what a known one does", n)
	}
	w.clock.forward(6 * time.Minute)
	w.do("GET", "/v2/users", "").want(200)
	if n := w.verified.n.Load(); n != 5 {
		t.Errorf("%d hashes: what is remembered must end", n)
	}
}

func TestNotBeingAbleToCheckIsNeverAWrongPassword(t *testing.T) {
	w := newWorld(t)
	w.verified.busy.Store(true)
	a := w.do("GET", "/v2/users", "").want(503, model.Overloaded)
	if a.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.api.err = errDown
	w.do("GET", "/v2/users", "").want(503, model.IdentityUnavailable)
	w.do("GET", "/healthz", "", nobody).want(200)
}

func TestARefusalStandsEvenIfItCannotBeRecorded(t *testing.T) {
	w := newWorld(t)
	w.audit.fail = errDown
	w.do("GET", "/v2/users", "", basicAs("admin", "wrong")).want(401, model.CredentialInvalid)
}

func TestFailedLoginsAreThrottledByNameAtAnAddress(t *testing.T) {
	w := newWorld(t)
	from := func(ip string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = ip + ":1" }
	}
	for range 6 {
		w.do("GET", "/v2/users", "", basicAs("olga", "wrong")).want(401)
	}
	before := w.verified.n.Load()
	a := w.do("GET", "/v2/users", "", as("olga")).want(429, model.LoginThrottled)
	if s, _ := strconv.Atoi(a.Header().Get("Retry-After")); s < 1 || s > 2 {
		t.Errorf("Retry-After %s", a.Header().Get("Retry-After"))
	}
	if w.verified.n.Load() != before {
		t.Error("a throttled login was hashed")
	}
	w.do("GET", "/v2/users", "", as("paul")).want(200)                       // another name
	w.do("GET", "/v2/users", "", as("olga"), from("198.51.100.1")).want(200) // the victim, elsewhere, is not locked out
	w.clock.forward(2 * time.Second)
	w.do("GET", "/v2/users", "", basicAs("olga", "wrong")).want(401)
	w.do("GET", "/v2/users", "", basicAs("olga", "right")).want(429)
	w.clock.forward(6 * time.Minute)                   // what was remembered is forgotten as well
	w.do("GET", "/v2/users", "", as("olga")).want(200) // success resets
	for range 5 {
		w.do("GET", "/v2/users", "", basicAs("olga", "wrong")).want(401)
	}
}

func certificate(t *testing.T, uri string) *x509.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{Raw: []byte(uri), URIs: []*url.URL{u}, DNSNames: []string{"Ops.Example.com"}, Subject: pkix.Name{CommonName: "ops"}}
}

func TestACertificateLogsInWhoeverItNames(t *testing.T) {
	w := newWorld(t)
	cert := certificate(t, "spiffe://example.com/ops")
	sum := sha256.Sum256(cert.Raw)
	sent := func(r *http.Request) {
		nobody(r)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	}
	w.do("GET", "/v2/users", "", sent).want(401, model.CredentialMissing) // nobody's: counts as absent
	for _, body := range []string{`{"type":"certificate","uri":"spiffe://example.com/ops"}`, `{"type":"certificate","dns":"ops.example.com"}`,
		`{"type":"certificate","subject":"CN=ops"}`, `{"type":"certificate","fingerprint":"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"}`} {
		at := w.do("POST", "/v2/administrators/olga/credentials", body).want(201).Header().Get("Location")
		w.do("GET", "/v2/users", "", sent).want(200)
		w.do("GET", "/v2/export", "", sent).want(403, model.PermissionDenied) // as olga, not as anybody else
		w.do("DELETE", at, "").want(204)
		w.do("GET", "/v2/users", "", sent).want(401, model.CredentialMissing)
	}
	w.do("POST", "/v2/administrators/olga/credentials", `{"type":"certificate","dns":"ops.example.com"}`).want(201)
	unverified := func(r *http.Request) { sent(r); r.TLS.VerifiedChains = nil }
	w.do("GET", "/v2/users", "", unverified).want(401, model.CredentialMissing)
	w.do("GET", "/v2/users", "", sent, basicAs("olga", "wrong")).want(401, model.CredentialInvalid) // a bad credential is never outvoted
	w.do("POST", "/v2/administrators/paul/credentials", `{"type":"certificate","subject":"CN=ops"}`).want(201)
	w.do("GET", "/v2/users", "", sent).want(401, model.CredentialInvalid) // two owners: which one cannot be told
}

func TestAnAdministratorWithoutRolesMayDoNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.api.Put(t.Context(), boot, store.KindAdministrators, "none", &model.Administrator{Name: "none", Active: true,
		Credentials: []model.Credential{{Type: model.Password, Password: adminPassword}}}, provision.Condition{})
	if err != nil {
		t.Skip("such an administrator cannot be made:", err)
	}
	w.do("GET", "/v2/users", "", as("none")).want(403, model.PermissionDenied)
}

func TestRolesReachWhatTheyReach(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v2/roles/reader", `{"permissions":[{"routes":["*"],"methods":["GET"]}]}`).want(201)
	service := `{"targets":[{"url":"http://127.0.0.1:1"}]}`
	for _, c := range []struct {
		method, path, body string
		may                string // admin, olga the operator, paul the provisioner, anna the auditor
	}{
		{"GET", "/v2/users", "", "admin olga paul anna"},
		{"GET", "/v2/services", "", "admin olga paul anna"},
		{"GET", "/v2/auditEvents", "", "admin olga paul anna"},
		{"GET", "/v2/status", "", "admin olga paul anna"},
		{"GET", "/v2/revisions", "", "admin olga paul anna"},
		{"GET", "/v2/config/reverseProxyAuthentication", "", "admin olga paul anna"},
		{"GET", "/v2/administrators", "", "admin anna"},
		{"GET", "/v2/administrators/olga", "", "admin anna"},
		{"GET", "/v2/administrators/olga/credentials", "", "admin anna"},
		{"GET", "/v2/export", "", "admin anna"},
		// A test endpoint evaluates conditions, and so needs more than the right to look (authentik CVE-2026-25227).
		{"POST", "/v2/explain", `{"url":"/x"}`, "admin olga anna"},
		{"PUT", "/v2/services/s", service, "admin olga"},
		{"PUT", "/v2/groups/g", `{"roles":["reader"]}`, "admin paul"},
		{"PUT", "/v2/users/u", `{}`, "admin paul"},
		{"POST", "/v2/users/u/credentials", `{"type":"apiKey"}`, "admin paul"},
		{"PUT", "/v2/roles/r", `{"permissions":[{"routes":["*"],"methods":["GET"]}]}`, "admin"},
		{"PUT", "/v2/config/reverseProxyAuthentication", `{"enabled":true}`, "admin"},
		{"DELETE", "/v2/config/reverseProxyAuthentication", "", "admin"},
		{"POST", "/v2/administrators", `{"name":"eve","roles":["admin"]}`, "admin"},
		{"POST", "/v2/administrators/anna/credentials", `{"type":"token"}`, "admin"},
		{"POST", "/v2/apply", `{"roles":[{"name":"r2","permissions":[{"routes":["*"],"methods":["*"]}]}]}`, "admin"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			w.t = t
			for _, who := range []string{"anna", "paul", "olga", "admin"} {
				a := w.do(c.method, c.path, c.body, as(who))
				if may := strings.Contains(" "+c.may+" ", " "+who+" "); may && a.Code >= 300 || !may && a.Code != 403 {
					t.Errorf("%s: %d %s", who, a.Code, a.Body)
				}
			}
		})
	}
}
