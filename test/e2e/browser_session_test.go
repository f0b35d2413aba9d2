//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// surfer is a browser as far as cookies, redirects and headers go; every host leads
// to the gateway, and other addresses to themselves.
type surfer struct {
	t      testing.TB
	client *http.Client
	jar    *cookiejar.Jar
}

func newSurfer(t testing.TB, g *gateway, hosts ...string) *surfer {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	at := map[string]bool{}
	for _, h := range hosts {
		at[h+":443"] = true
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if at[addr] {
				addr = g.proxy
			}
			return dialer.DialContext(ctx, network, addr)
		}}
	t.Cleanup(tr.CloseIdleConnections)
	return &surfer{t: t, jar: jar, client: &http.Client{Transport: tr, Jar: jar, Timeout: 20 * time.Second}}
}

// page is what the surfer looks at.
type page struct {
	status int
	at     *url.URL
	header http.Header
	body   string
	way    []string // the addresses it came by
}

func (s *surfer) do(method, address string, form url.Values, mods ...mod) *page {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, address, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, m := range mods {
		m(r)
	}
	p := &page{}
	c := *s.client
	c.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		p.way = append(p.way, next.URL.String())
		next.Header.Del("Origin")
		if len(via) > 20 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	res, err := c.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v (by way of %q)", method, address, err, p.way)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	p.status, p.at, p.header, p.body = res.StatusCode, res.Request.URL, res.Header, string(b)
	return p
}

func (s *surfer) get(address string, mods ...mod) *page {
	s.t.Helper()
	return s.do("GET", address, nil, mods...)
}

var (
	formTag  = regexp.MustCompile(`(?is)<form[^>]*?(?:action="([^"]*)")?[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`(?is)<input[^>]*>`)
	attr     = regexp.MustCompile(`(?is)\b(name|value|type)="([^"]*)"`)
	action   = regexp.MustCompile(`(?is)action="([^"]*)"`)
)

// submit fills the page's n-th form and sends it.
func (s *surfer) submit(p *page, n int, fill map[string]string, mods ...mod) *page {
	s.t.Helper()
	forms := formTag.FindAllString(p.body, -1)
	if n >= len(forms) {
		s.t.Fatalf("no form %d at %s: %d %s", n, p.at, p.status, p.body)
	}
	values := url.Values{}
	for _, tag := range inputTag.FindAllString(forms[n], -1) {
		var name, value string
		for _, a := range attr.FindAllStringSubmatch(tag, -1) {
			switch a[1] {
			case "name":
				name = a[2]
			case "value":
				value = unescape(a[2])
			}
		}
		if name != "" {
			values.Set(name, value)
		}
	}
	for k, v := range fill {
		values.Set(k, v)
	}
	to := p.at
	if a := action.FindStringSubmatch(forms[n]); a != nil && a[1] != "" {
		u, err := p.at.Parse(unescape(a[1]))
		if err != nil {
			s.t.Fatal(err)
		}
		to = u
	}
	return s.do("POST", to.String(), values, mods...)
}

func unescape(s string) string {
	return strings.NewReplacer("&amp;", "&", "&#43;", "+", "&#34;", `"`, "&quot;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&#x2F;", "/").Replace(s)
}

func (s *surfer) cookie(address, name string) string {
	u, _ := url.Parse(address)
	for _, c := range s.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

const people = `
settings:
  reverseProxyAuthentication: {enabled: true}
  sessions: {passwordLogin: true}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles: [{name: all, permissions: [{routes: ["*"], methods: ["*"]}]}]
users:
  - {username: alice, displayName: Alice Ames, roles: [all], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [all], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: app, hosts: [app.example.com], paths: [/], service: api, authenticate: {anyOf: [session, basic]}}
  - {name: shop, hosts: [shop.example.com], paths: [/], service: api, authenticate: {anyOf: [session]}}
  - {name: open, hosts: [app.example.com], paths: [/open], service: api, access: public}
`

const appSite, shopSite = "https://app.example.com", "https://shop.example.com"

func startPeople(t *testing.T, engine string) (*gateway, *backend) {
	t.Helper()
	b := newBackend(t, nil)
	return start(t, options{engine: engine, external: appSite, resources: withBackend(people, b.URL)}), b
}

func TestAPersonSignsInWithAPasswordAndOut(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g, b := startPeople(t, engine)
		s := newSurfer(t, g, "app.example.com", "shop.example.com")
		p := s.get(appSite + "/deep/link?x=1")
		if p.status != 200 || p.at.Path != "/.sallyport/login" || !strings.Contains(p.body, "Password") {
			t.Fatalf("no login page: %d %s %s", p.status, p.at, p.body)
		}
		if p.header.Get("Cache-Control") != "no-store" || !strings.Contains(p.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("headers: %v", p.header)
		}
		wrong := s.submit(p, 0, map[string]string{"username": "alice", "password": "wrong"})
		if wrong.status != 401 || !strings.Contains(wrong.body, `role="alert"`) || wrong.header.Get("WWW-Authenticate") != "" {
			t.Fatalf("a wrong password: %d %s", wrong.status, wrong.body)
		}
		before := s.cookie(appSite, "__Host-sallyport")
		in := s.submit(wrong, 0, map[string]string{"password": "alices-password"})
		if in.status != 200 || in.at.String() != appSite+"/deep/link?x=1" {
			t.Fatalf("after the login: %d %s %s", in.status, in.at, in.body)
		}
		cookie := s.cookie(appSite, "__Host-sallyport")
		if before != "" || cookie == "" || len(cookie) >= 200 {
			t.Errorf("the cookie: %q, then %q", before, cookie)
		}
		seen := b.last(t)
		if seen.Header.Get("X-User") != "alice" || seen.Header.Get("X-Auth-Method") != "session" || strings.Contains(seen.Header.Get("Cookie"), "sallyport") {
			t.Errorf("the backend sees %v", seen.Header)
		}
		// A write needs the token, and another origin's page has none.
		if r := s.do("POST", appSite+"/things", url.Values{"a": {"1"}}); r.status != 403 || !strings.Contains(r.body, "csrf_failed") {
			t.Errorf("a POST without the token: %d %s", r.status, r.body)
		}
		token := s.cookie(appSite, "__Host-sallyport-csrf")
		if r := s.do("POST", appSite+"/things", url.Values{"a": {"1"}}, header("X-CSRF-Token", token)); r.status != 200 {
			t.Errorf("a POST with the token: %d %s", r.status, r.body)
		}
		if r := s.do("POST", appSite+"/things", url.Values{"a": {"1"}}, header("X-CSRF-Token", token), header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site")); r.status != 403 || !strings.Contains(r.body, "origin_refused") {
			t.Errorf("a POST of another origin: %d %s", r.status, r.body)
		}
		// The other host takes the session over without another login.
		if r := s.get(shopSite + "/cart"); r.status != 200 || r.at.String() != shopSite+"/cart" || s.cookie(shopSite, "__Host-sallyport") == "" || s.cookie(shopSite, "__Host-sallyport") == cookie {
			t.Errorf("the other host: %d %s by way of %q", r.status, r.at, r.way)
		}
		account := s.get(appSite + "/.sallyport/account")
		if account.status != 200 || strings.Count(account.body, `name="session"`) != 3 || !strings.Contains(account.body, "Alice Ames") {
			t.Errorf("the account: %d %s", account.status, account.body)
		}
		// A page that another site makes cannot sign her out.
		if r := s.do("POST", appSite+"/.sallyport/logout", url.Values{}, header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site")); r.status != 403 || !strings.Contains(r.body, "origin_refused") {
			t.Errorf("logout by another site: %d %s", r.status, r.body)
		}
		if r := s.do("POST", appSite+"/.sallyport/logout", url.Values{}); r.status != 403 || !strings.Contains(r.body, "csrf_failed") {
			t.Errorf("logout without the token: %d %s", r.status, r.body)
		}
		out := s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil)
		if out.status != 200 || !strings.Contains(out.body, "signed out") || s.cookie(appSite, "__Host-sallyport") != "" {
			t.Errorf("after logout: %d %s", out.status, out.body)
		}
		for _, at := range []string{appSite + "/deep", shopSite + "/cart"} {
			if r := s.get(at); r.at.Path != "/.sallyport/login" {
				t.Errorf("still signed in at %s: %d %s", at, r.status, r.at)
			}
		}
		// The cookie itself is dead, and counts as none: an API client gets 401.
		a := g.call(t, "GET", "/deep", "", header("Cookie", "__Host-sallyport="+cookie), hostOf("app.example.com"))
		if a.status != 401 || a.code() != "credential_missing" {
			t.Errorf("the old cookie: %d %s", a.status, a.body)
		}
	})
}

func hostOf(h string) mod { return func(r *http.Request) { r.Host = h } }

// Whoever cannot follow to a login page is told so by a status (oauth2-proxy #2292,
// pomerium #390), and nothing of the backend's answer is beside it (mod_auth_openidc
// GHSA-59jp-rwph-878r).
func TestOnlyABrowserThatNavigatesIsSentToTheLogin(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g, b := startPeople(t, engine)
		html := header("Accept", "text/html")
		for _, c := range []struct {
			name, method string
			mods         []mod
			status       int
		}{
			{"a navigation", "GET", []mod{html}, 302},
			{"with fetch metadata", "GET", []mod{html, header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document")}, 302},
			{"curl", "GET", nil, 401},
			{"fetch", "GET", []mod{header("Accept", "*/*"), header("Sec-Fetch-Mode", "cors"), header("Sec-Fetch-Dest", "empty")}, 401},
			{"fetch that asks for HTML", "GET", []mod{html, header("Sec-Fetch-Mode", "cors"), header("Sec-Fetch-Dest", "empty")}, 401},
			{"XHR", "GET", []mod{html, header("X-Requested-With", "XMLHttpRequest")}, 401},
			{"an image", "GET", []mod{header("Accept", "image/*"), header("Sec-Fetch-Mode", "no-cors"), header("Sec-Fetch-Dest", "image")}, 401},
			{"a script (authentik #6886)", "GET", []mod{html, header("Sec-Fetch-Mode", "no-cors"), header("Sec-Fetch-Dest", "script")}, 401},
			{"a frame", "GET", []mod{html, header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "iframe")}, 401},
			{"a form", "POST", []mod{html}, 401},
			{"a wrong password", "GET", []mod{html, basic("alice", "wrong")}, 401},
			{"gRPC", "POST", []mod{header("Content-Type", "application/grpc")}, 401},
		} {
			a := g.call(t, c.method, "/deep?a=1", "", append(c.mods, hostOf("app.example.com"))...)
			if a.status != c.status {
				t.Errorf("%s: %d %s", c.name, a.status, a.body)
			}
			if want := "/.sallyport/login?return=%2Fdeep%3Fa%3D1"; c.status == 302 && a.header.Get("Location") != want {
				t.Errorf("%s: to %q", c.name, a.header.Get("Location"))
			}
		}
		if n := len(b.saw()); n != 0 {
			t.Errorf("the backend saw %d requests of nobody", n)
		}
	})
}

// Open redirects, CVE-2020-11053, CVE-2020-4037, GHSA-qqxw-m5fj-f7gv, CVE-2026-83589,
// CVE-2021-32786, CVE-2022-23527, CVE-2021-29456, CVE-2021-21291, CVE-2024-52289: a login
// never leads to another site.
func TestALoginLeadsNowhereElse(t *testing.T) {
	g, _ := startPeople(t, "own")
	for raw, want := range map[string]string{
		"/orders?x=1":                              appSite + "/orders?x=1",
		"https://app.example.com/a":                appSite + "/a",
		"https://shop.example.com/a":               shopSite + "/a",
		"//evil.example":                           appSite + "/",
		`/\evil.example`:                           appSite + "/",
		"/\t/evil.example":                         appSite + "/",
		"/ /evil.example":                          appSite + "/",
		"/\r\n/evil.example":                       appSite + "/",
		"https://evil.example/":                    appSite + "/",
		"https://evilapp.example.com/":             appSite + "/",
		"https://appXexample.com/":                 appSite + "/",
		"https://app.example.com.evil.example/":    appSite + "/",
		"https://app.example.com@evil.example/":    appSite + "/",
		"http://app.example.com/":                  appSite + "/",
		"javascript:alert(1)":                      appSite + "/",
		"data:text/html,x":                         appSite + "/",
		"https:evil.example":                       appSite + "/",
		"https:///evil.example":                    appSite + "/",
		"%2f%2fevil.example":                       appSite + "/",
		"/.sallyport/logout":                       appSite + "/",
		"https://app.example.com\\.evil.example/x": appSite + "/",
		"": appSite + "/",
	} {
		s := newSurfer(t, g, "app.example.com", "shop.example.com")
		p := s.get(appSite + "/.sallyport/login?return=" + url.QueryEscape(raw))
		if strings.HasPrefix(want, shopSite) { // as the shop itself sends a browser there
			p = s.get(shopSite + strings.TrimPrefix(raw, shopSite))
		}
		in := s.submit(p, 0, map[string]string{"username": "alice", "password": "alices-password"})
		if in.at.String() != want {
			t.Errorf("%q leads to %s, by way of %q", raw, in.at, in.way)
		}
	}
}

// Sessions outlive the gateway's process, and end at once with their user.
func TestSessionsSurviveARestartAndEndWithTheirUser(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g, _ := startPeople(t, engine)
		s := newSurfer(t, g, "app.example.com", "shop.example.com")
		in := s.submit(s.get(appSite+"/a"), 0, map[string]string{"username": "alice", "password": "alices-password"})
		if in.at.String() != appSite+"/a" {
			t.Fatalf("%s %s", in.at, in.body)
		}
		g.signal(15)
		g.wait(40 * time.Second)
		s.client.CloseIdleConnections()
		g.run(t)
		if r := s.get(appSite + "/b"); r.status != 200 || r.at.Path != "/b" {
			t.Fatalf("after a restart: %d %s", r.status, r.at)
		}
		list := g.must(t, 200, "GET", "/v2/sessions", "")
		if !strings.Contains(list.body, `"user":"alice"`) || strings.Contains(list.body, s.cookie(appSite, "__Host-sallyport")) {
			t.Errorf("the list: %s", list.body)
		}
		g.must(t, 200, "PATCH", "/v2/users/alice", `{"active":false}`)
		if r := s.get(appSite + "/c"); r.at.Path != "/.sallyport/login" {
			t.Errorf("deactivated: %d %s", r.status, r.at)
		}
		g.must(t, 200, "PATCH", "/v2/users/alice", `{"active":true}`)
		if r := s.get(appSite + "/c"); r.at.Path != "/.sallyport/login" {
			t.Errorf("active again, and the old session with it: %d %s", r.status, r.at)
		}
	})
}

// Behind a proxy that is trusted, logins and sessions tell the address of the client,
// as requests do; a client's own word for it counts nowhere.
func TestALoginBehindAProxyTellsOfTheClient(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for boot, want := range map[string]string{"": "127.0.0.1", "trustedProxies: [127.0.0.0/8]\n": "203.0.113.9"} {
			b := newBackend(t, nil)
			g := start(t, options{engine: engine, external: appSite, resources: withBackend(people, b.URL), boot: boot})
			s := newSurfer(t, g, "app.example.com")
			by := []mod{header("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), header("User-Agent", "the client")}
			p := s.submit(s.get(appSite+"/x", by...), 0, map[string]string{"username": "alice", "password": "wrong"}, by...)
			s.submit(p, 0, map[string]string{"password": "alices-password"}, by...).arrived(t, "the login", appSite+"/x")
			var list struct{ Items []struct{ ClientIP string } }
			g.must(t, 200, "GET", "/v2/sessions", "").into(t, &list)
			if len(list.Items) != 1 || list.Items[0].ClientIP != want {
				t.Errorf("%q: the sessions: %+v", boot, list)
			}
			if account := s.get(appSite+"/.sallyport/account", by...).body; !strings.Contains(account, want) {
				t.Errorf("%q: the account page: %s", boot, account)
			}
			kinds := map[string]int{}
			for _, e := range g.events(t) {
				if e.UserAgent != "the client" {
					continue
				}
				kinds[e.Type+" "+e.Outcome]++
				if e.ClientIP != want {
					t.Errorf("%q: the event of a %s that was %s tells of %q", boot, e.Type, e.Outcome, e.ClientIP)
				}
			}
			if kinds["login allowed"] != 1 || kinds["login denied"] != 1 || kinds["access allowed"] == 0 {
				t.Errorf("%q: the events: %v", boot, kinds)
			}
		}
	})
}
