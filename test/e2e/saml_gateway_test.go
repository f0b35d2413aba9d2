//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const pupils = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles: [{name: all, permissions: [{routes: ["*"], methods: ["*"]}]}]
groups: [{name: staff}]
identityProviders:
  - {name: school, type: saml, metadataURL: "IDP", roles: [all], mapping: {email: mail, groups: groups}}
routes:
  - {name: app, hosts: [app.example.com], paths: [/], service: api, authenticate: {anyOf: [session]}}
`

// startSchool is a gateway whose people come from SimpleSAMLphp: all that was told
// to either of them is the other's metadata.
func startSchool(t *testing.T, engine string) (*gateway, *backend, *samlIDP) {
	t.Helper()
	idp, b := startSAMLIDP(t), newBackend(t, nil)
	g := start(t, options{engine: engine, external: appSite, resources: strings.ReplaceAll(withBackend(pupils, b.URL), "IDP", idp.metadataURL())})
	metadata := newSurfer(t, g, "app.example.com").get(appSite + "/.sallyport/saml/school/metadata")
	if metadata.status != 200 || metadata.header.Get("Content-Type") != "application/samlmetadata+xml" {
		t.Fatalf("the metadata: %d %s", metadata.status, metadata.body)
	}
	idp.admit(t, metadata.body)
	return g, b, idp
}

// fromIDP makes a form the one that the provider's page sends by itself.
func (i *samlIDP) fromIDP() []mod {
	return []mod{header("Origin", i.base), header("Sec-Fetch-Site", "cross-site")}
}

// enrol signs somebody in and answers where that led, and the form that proved it.
func (i *samlIDP) enrol(s *surfer, at, who string) (in, proof *page) {
	s.t.Helper()
	p := s.get(at)
	if p.at.Host != strings.TrimPrefix(i.base, "http://") {
		s.t.Fatalf("not at the provider, but at %s: %d %s", p.at, p.status, p.body)
	}
	if who != "" {
		p = s.submit(p, 0, map[string]string{"username": who, "password": "of " + who})
	}
	return s.submit(p, 0, nil, i.fromIDP()...), p
}

func TestAPersonSignsInBySAMLAndOutAtBothEnds(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g, b, idp := startSchool(t, engine)
		s := newSurfer(t, g, "app.example.com")
		in, proof := idp.enrol(s, appSite+"/deep/link?x=1", "anna")
		if in.status != 200 || in.at.String() != appSite+"/deep/link?x=1" {
			t.Fatalf("after the login: %d %s by way of %q: %s", in.status, in.at, in.way, in.body)
		}
		seen := b.last(t)
		if seen.Header.Get("X-User") != "anna" || seen.Header.Get("X-Auth-Method") != "session" || seen.Header.Get("X-User-Email") != "anna@example.com" {
			t.Errorf("the backend sees %v", seen.Header)
		}
		t.Run("the same answer proves nothing a second time", func(t *testing.T) {
			thief := newSurfer(t, g, "app.example.com")
			for name, who := range map[string]*surfer{"in the same browser": s, "in another": thief} {
				b.forget()
				p := who.submit(proof, 0, nil, idp.fromIDP()...)
				if len(b.saw()) > 0 && who == thief || p.at.Host == "app.example.com" && p.status == 200 && who == thief {
					t.Errorf("%s: %d %s", name, p.status, p.at)
				}
			}
			if thief.cookie(appSite, "__Host-sallyport") != "" {
				t.Error("another browser is signed in by it")
			}
		})
		t.Run("a logout here is one there", func(t *testing.T) {
			out := s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil)
			if out.status != 200 || !strings.Contains(out.body, "signed out") || !strings.Contains(strings.Join(out.way, " "), "SingleLogoutService") {
				t.Errorf("after logout: %d %s by way of %q: %s", out.status, out.at, out.way, out.body)
			}
			if p := s.get(appSite + "/deep"); !strings.Contains(p.body, `name="password"`) {
				t.Errorf("the provider still knows the browser: %d %s", p.status, p.at)
			}
		})
		t.Run("a logout there is one here", func(t *testing.T) {
			if in, _ := idp.enrol(s, appSite+"/deep", "bert"); in.status != 200 || b.last(t).Header.Get("X-User") != "bert" {
				t.Fatalf("after the login: %d %s", in.status, in.body)
			}
			done := s.get(idp.base + "/saml2/idp/initSLO.php?RelayState=" + url.QueryEscape(idp.metadataURL()))
			if done.status != 200 || done.at.Path != "/saml2/idp/metadata.php" {
				t.Errorf("the provider did not take our answer: %d %s by way of %q: %s", done.status, done.at, done.way, done.body)
			}
			if p := s.get(appSite + "/deep"); p.at.Host == "app.example.com" {
				t.Errorf("still signed in: %d %s", p.status, p.at)
			}
		})
	})
}

// Keycloak CVE-2026-2603, and what begins at a provider that may not begin.
func TestASAMLProviderThatMayNotIsRefused(t *testing.T) {
	g, b, idp := startSchool(t, "own")
	acs := appSite + "/.sallyport/saml/school/acs"
	begin := idp.base + "/saml2/idp/SSOService.php?spentityid=" + url.QueryEscape(appSite+"/.sallyport/saml/school/metadata")
	s := newSurfer(t, g, "app.example.com")
	p := s.submit(s.get(begin), 0, map[string]string{"username": "anna", "password": "of anna"})
	if r := s.submit(p, 0, nil, idp.fromIDP()...); s.cookie(appSite, "__Host-sallyport") != "" || len(b.saw()) > 0 && r.at.Path != "/" {
		t.Errorf("a login that the provider began: %d %s", r.status, r.at)
	}
	patch := func(body string) {
		g.must(t, 200, "PATCH", "/v2/identityProviders/school", body)
	}
	patch(`{"allowIDPInitiated":true}`)
	s = newSurfer(t, g, "app.example.com")
	p = s.submit(s.get(begin), 0, map[string]string{"username": "anna", "password": "of anna"})
	if r := s.submit(p, 0, nil, idp.fromIDP()...); r.status != 200 || r.at.String() != appSite+"/" || b.last(t).Header.Get("X-User") != "anna" {
		t.Errorf("where it is allowed: %d %s %s", r.status, r.at, r.body)
	}
	again := newSurfer(t, g, "app.example.com")
	if r := again.submit(p, 0, nil, idp.fromIDP()...); r.status != 401 || again.cookie(appSite, "__Host-sallyport") != "" {
		t.Errorf("the same answer once more: %d %s", r.status, r.body)
	}
	fresh := s.get(begin)
	// Sessions need some provider that is enabled.
	if out, code := g.cli(t, "", "provider", "create", "spare", "--type=saml", "--set", "metadataURL=http://127.0.0.1:9/metadata"); code != 0 {
		t.Fatalf("%d: %s", code, out)
	}
	patch(`{"enabled":false}`)
	late := newSurfer(t, g, "app.example.com")
	if r := late.submit(fresh, 0, nil, idp.fromIDP()...); r.status == 200 && r.at.Path == "/" || late.cookie(appSite, "__Host-sallyport") != "" {
		t.Errorf("of a disabled provider: %d %s", r.status, r.at)
	}
	for _, path := range []string{"/metadata", "/slo"} {
		if r := late.get(strings.TrimSuffix(acs, "/acs") + path); r.status < 400 {
			t.Errorf("%s of a disabled provider: %d", path, r.status)
		}
	}
	b.forget()
	if r := s.get(appSite + "/deep"); r.status == http.StatusOK && len(b.saw()) > 0 {
		t.Errorf("a session of a disabled provider goes on: %d %s", r.status, r.at)
	}
}

func TestAnOperatorConnectsASAMLProvider(t *testing.T) {
	g, _, idp := startSchool(t, "own")
	out, code := g.cli(t, "", "provider", "check", "school")
	if code != 0 || !strings.Contains(out, idp.base+"/entity") {
		t.Errorf("%d: %s", code, out)
	}
	if out, code = g.cli(t, "", "provider", "create", "dead", "--type=saml", "--set", "metadataURL=http://127.0.0.1:9/metadata"); code != 0 {
		t.Fatalf("%d: %s", code, out)
	}
	if out, code = g.cli(t, "", "provider", "check", "dead"); code == 0 || !strings.Contains(out, "connection refused") {
		t.Errorf("%d: %s", code, out)
	}
}
