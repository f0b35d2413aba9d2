//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A person signs in by SAML through the gateway, with a deep link by RelayState, and
// out again, on all hosts, from here and from there.
func TestAPersonSignsInAtASAMLProvider(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		idp := startSAMLIDP(t)
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, external: appSite, resources: strings.ReplaceAll(withBackend(front, b.URL), "SETTINGS", "") +
			fmt.Sprintf("  - {name: corp, type: saml, metadataURL: %q, mapping: {username: uid, email: mail, groups: groups}, roles: [writer]}\n", idp.metadataURL())})
		metadata := g.call(t, "GET", "/.sallyport/saml/corp/metadata", "", hostOf("app.example.com"))
		metadata.expect(t, "metadata", 200, "")
		idp.admit(t, metadata.body)
		surf := func() *surfer { return newSurfer(t, g, "app.example.com", "shop.example.com") }
		// atIDP is the provider's answer, on the page that posts it to the gateway.
		atIDP := func(s *surfer, address string) *page {
			t.Helper()
			p := s.submit(s.get(address), 0, map[string]string{"username": "anna", "password": "of anna"})
			if !strings.Contains(p.body, "SAMLResponse") {
				t.Fatalf("%d %s %s", p.status, p.at, tail(p.body, 800))
			}
			return p
		}
		s := surf()
		answer := atIDP(s, appSite+"/deep/link?x=1")
		p := s.submit(answer, 0, nil, header("Sec-Fetch-Site", "cross-site"))
		p.arrived(t, "the login", appSite+"/deep/link?x=1")
		h := p.asked(t).Header
		if h.Get("X-User") != "anna" || h.Get("X-User-Email") != "anna@example.com" || h.Get("X-User-Groups") != "staff" || h.Get("X-Auth-Method") != "session" {
			t.Errorf("the backend saw %v", h)
		}
		s.get(shopSite+"/x").arrived(t, "the other host", shopSite+"/x")
		// The answer again: with the session, it leads to the page; in another browser
		// it begins a login of that browser's own, and no session.
		s.submit(answer, 0, nil).arrived(t, "the answer again", appSite+"/deep/link?x=1")
		other := surf()
		if p := other.submit(answer, 0, nil); other.cookie(appSite, "__Host-sallyport") != "" || p.status != 200 || !strings.HasPrefix(p.at.String(), idp.base) {
			t.Errorf("in another browser: %d %s", p.status, p.at)
		}
		// IdP-initiated login, which is off: as a login that nobody asked for, it starts over.
		loose := between(answer.body, `name="SAMLResponse" value="`, `"`)
		third := surf()
		if p := third.do("POST", appSite+"/.sallyport/saml/corp/acs", url.Values{"SAMLResponse": {loose}}); third.cookie(appSite, "__Host-sallyport") != "" || !strings.HasPrefix(p.at.String(), idp.base) {
			t.Errorf("an answer to nobody: %d %s", p.status, p.at)
		}
		// Out here: out there, and on the other host.
		out := s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil)
		if out.status != 200 || !strings.Contains(out.body, "You are signed out") {
			t.Fatalf("logout: %d %s by way of %q: %s", out.status, out.at, out.way, tail(out.body, 600))
		}
		for _, at := range []string{appSite, shopSite} {
			if p := s.get(at + "/x"); !strings.HasPrefix(p.at.String(), idp.base) || !strings.Contains(p.body, `name="password"`) {
				t.Errorf("after logout %s: %d %s", at, p.status, p.at)
			}
		}
		// Out there: out here, and on the other host.
		s.submit(atIDP(s, appSite+"/x"), 0, nil).arrived(t, "in again", appSite+"/x")
		s.get(shopSite+"/x").arrived(t, "the other host", shopSite+"/x")
		s.get(idp.base + "/saml2/idp/initSLO.php?RelayState=" + url.QueryEscape(idp.metadataURL()))
		for _, at := range []string{appSite, shopSite} {
			if a := s.get(at+"/corp", header("Sec-Fetch-Mode", "cors"), header("Sec-Fetch-Dest", "empty")); a.status != 401 {
				t.Errorf("after logout at the provider, %s: %d", at, a.status)
			}
		}
	})
}

// relayState is the RelayState with which the browser was sent to the provider.
func (p *page) relayState(t testing.TB) string {
	t.Helper()
	for _, w := range p.way {
		if u, err := url.Parse(w); err == nil && u.Query().Get("SAMLRequest") != "" {
			return u.Query().Get("RelayState")
		}
	}
	t.Fatalf("no request to a provider on the way %q", p.way)
	return ""
}

// SAML bindings 3.4.3: a RelayState has 80 bytes at most, however long the address is
// that is wanted; several tabs come to theirs, across a restart of the gateway, too.
func TestARelayStateHas80BytesAndLeadsHome(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g, _, idp := startSchool(t, engine)
		long := appSite + "/deep/" + strings.Repeat("part/", 200) + "?q=" + strings.Repeat("x", 500)
		s := newSurfer(t, g, "app.example.com")
		asked := s.get(long)
		if relay := asked.relayState(t); relay == "" || len(relay) > 80 {
			t.Errorf("the RelayState has %d bytes: %q", len(relay), relay)
		}
		form := s.submit(asked, 0, map[string]string{"username": "anna", "password": "of anna"})
		s.submit(form, 0, nil, idp.fromIDP()...).arrived(t, "a long address", long)
		// Two tabs, of which the provider knows the browser; the gateway is restarted before
		// the answers come.
		s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil)
		one := s.submit(s.get(appSite+"/one?x=1"), 0, map[string]string{"username": "anna", "password": "of anna"})
		two := s.get(appSite + "/two?x=2")
		g.stop(t)
		g.run(t)
		s.client.CloseIdleConnections()
		s.submit(one, 0, nil, idp.fromIDP()...).arrived(t, "the first tab", appSite+"/one?x=1")
		s.submit(two, 0, nil, idp.fromIDP()...).arrived(t, "the second tab", appSite+"/two?x=2")
		u, _ := url.Parse(appSite)
		for _, c := range s.jar.Cookies(u) {
			if c.Name == "__Host-sallyport-relay" {
				t.Error("the cookie of logins under way is still there when there is none")
			}
		}
	})
}

// A real browser sends what a form of another site's needs along with it, and no more:
// the cookies of logins under way are SameSite=None, and the session's is Lax.
func TestAPersonSignsInBySAMLAtARealBrowser(t *testing.T) {
	nodeModule(t, "playwright-core/package.json")
	g, _, idp := startSchool(t, "own")
	script, err := filepath.Abs(filepath.Join("node", "school.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	out, code := runProgram(t, 2*time.Minute, nil, need(t, "node"), script,
		jsonText(map[string]any{"proxy": g.proxy, "provider": idp.base, "chromium": need(t, "chromium")}))
	if code != 0 || !strings.Contains(out, "all is well") {
		t.Errorf("%d: %s", code, tail(out, 2000))
	}
}
