//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.yaml.in/yaml/v3"
)

const fromDirectory = `
settings:
  reverseProxyAuthentication: {enabled: true}
  sessions: {passwordLogin: true}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles:
  - {name: reader, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
groups: [{name: staff, roles: [reader]}, {name: unix, roles: [reader]}, {name: writers, roles: [writer]}]
users:
  - {username: bob, roles: [reader], credentials: [{type: password, password: bobs-own-password}]}
routes:
  - {name: api, paths: [/api], service: api}
  - {name: only, paths: [/only], service: api, authenticate: "basic@directory"}
  - {name: app, hosts: [app.example.com], paths: [/], service: api, authenticate: {anyOf: ["session@directory"]}}
`

func startDirectory(t *testing.T, engine string, s *slapd, provider string) *gateway {
	t.Helper()
	b := newBackend(t, nil)
	return start(t, options{engine: engine, external: appSite, resources: withBackend(fromDirectory, b.URL) + "identityProviders:\n- " + provider + "\n"})
}

// apply applies a declarative document by the admin API.
func (g *gateway) apply(t testing.TB, document string) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(document), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	g.must(t, 200, "POST", "/v2/apply", string(b))
}

// directoryState is what the status says of the directory.
type directoryState struct {
	Healthy, Paused         bool
	Asked, UnderWay         int
	IdleConnections         int
	LastError, Remedy, Type string
}

func (g *gateway) directoryState(t testing.TB) directoryState {
	t.Helper()
	var st struct {
		IdentityProviders []struct{ Endpoint directoryState }
	}
	g.must(t, 200, "GET", "/v2/status", "").into(t, &st)
	return st.IdentityProviders[0].Endpoint
}

func TestUsersOfARealDirectoryAreLetInByTheirPasswords(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		s := newSlapd(t)
		g := startDirectory(t, engine, s, s.provider(", nestedGroups: true"))
		a := g.get(t, "alice", "/api")
		a.expect(t, "a user of the directory", 200, "")
		if h := a.asked(t).Header; h.Get("X-User") != "alice" || h.Get("X-Auth-Method") != "basic" || h.Get("Authorization") != "" {
			t.Errorf("the backend saw %v", h)
		}
		if d, _ := g.eventsOf(t, a.header.Get("X-Request-Id")); d.Provider != "directory" || d.User != "alice" {
			t.Errorf("event %+v", d)
		}
		u := g.must(t, 200, "GET", "/v2/users/alice", "").body
		if !strings.Contains(u, "alice@example.com") || !strings.Contains(u, "Name of alice") || strings.Contains(u, "alices-password") {
			t.Errorf("the user: %s", u)
		}
		g.call(t, "POST", "/api", "", user("alice")).expect(t, "by a group of a group", 200, "")
		g.call(t, "GET", "/api", "", basic("ALICE", "alices-password")).expect(t, "another spelling of the same user", 200, "")
		if got := g.call(t, "GET", "/api", "", basic(" aLiCe ", "alices-password")); got.status == 200 && got.asked(t).Header.Get("X-User") != "alice" {
			t.Errorf("typed otherwise, alice became %q", got.asked(t).Header.Get("X-User"))
		}
		g.get(t, "carol", "/api").expect(t, "a group by memberUid", 200, "")
		g.call(t, "POST", "/api", "", user("carol")).expect(t, "beyond the group's role", 403, "permission_denied")
		g.get(t, "dave", "/api").expect(t, "in no group", 403, "permission_denied")
		a = g.get(t, oddName, "/api")
		a.expect(t, "a name with every special character", 200, "")
		if d, _ := g.eventsOf(t, a.header.Get("X-Request-Id")); d.User != oddName {
			t.Errorf("the user is %q", d.User)
		}
		// None of these is read as a filter, a DN or an anonymous bind.
		for _, c := range [][2]string{{"alice", "wrong"}, {"alice", ""}, {"nobody", "x"}, {"*", "alices-password"}, {"a*", "alices-password"}, {"alice)(uid=*", "alices-password"},
			{"*)(uid=*))(|(uid=*", "alices-password"}, {`\61lice`, "alices-password"}, {"alice\x00", "alices-password"}, {"uid=alice,ou=people,dc=example,dc=com", "alices-password"},
			{"locked", "lockeds-password"}, {"reset", "resets-password"}, {"gateway", searchPassword}, {"{dn}", "x"}} {
			a := g.call(t, "GET", "/api", "", basic(c[0], c[1]))
			a.expect(t, fmt.Sprintf("%q with %q", c[0], c[1]), 401, "credential_invalid")
			if strings.Contains(a.body, "directory") || strings.Contains(a.body, "ldap") {
				t.Errorf("the answer tells %s", a.body)
			}
		}
		// Who has a password here is judged by that alone, and a route may ask for the directory.
		g.get(t, "bob", "/api").expect(t, "a local user, by the directory's password", 401, "credential_invalid")
		g.call(t, "GET", "/api", "", basic("bob", "bobs-own-password")).expect(t, "a local user", 200, "")
		g.call(t, "GET", "/only", "", basic("bob", "bobs-own-password")).expect(t, "a local user on a route of the directory's", 401, "credential_invalid")
		g.get(t, "alice", "/only").expect(t, "a user of the directory there", 200, "")
		// Repeated, it costs the directory nothing.
		before := g.directoryState(t).Asked
		for range 50 {
			g.get(t, "alice", "/api").expect(t, "again", 200, "")
			g.call(t, "GET", "/api", "", basic("alice", "wrong again")).expect(t, "wrong again", 401, "credential_invalid")
		}
		if n := g.directoryState(t).Asked - before; n > 5 {
			t.Errorf("100 requests asked the directory %d times", n)
		}
		if out, code := g.cli(t, "", "provider", "check", "directory"); code != 0 || !strings.Contains(out, "users under") {
			t.Errorf("provider check: %d %s", code, out)
		}
		// Without groups of groups, and over TLS from the first byte.
		g.apply(t, "identityProviders: ["+s.overTLS("")+"]")
		g.get(t, "alice", "/api").expect(t, "over ldaps", 200, "")
		g.call(t, "POST", "/api", "", user("alice")).expect(t, "without groups of groups", 403, "permission_denied")
	})
}

func TestADirectoryThatIsAwayLocksNobodyOutWhoIsKnown(t *testing.T) {
	t.Parallel()
	s := newSlapd(t)
	g := startDirectory(t, "", s, s.provider(""))
	g.get(t, "alice", "/api").expect(t, "before", 200, "")
	s.kill()
	for range 5 {
		begin := time.Now()
		a := g.get(t, "carol", "/api")
		a.expect(t, "unknown, while it is away", 503, "identity_unavailable")
		if a.header.Get("Retry-After") == "" || time.Since(begin) > 2*time.Second {
			t.Errorf("after %v with %v", time.Since(begin), a.header)
		}
	}
	g.call(t, "GET", "/api", "", basic("alice", "wrong")).expect(t, "a wrong password is not called wrong while nobody can tell", 503, "identity_unavailable")
	g.get(t, "alice", "/api").expect(t, "known", 200, "")
	g.call(t, "GET", "/api", "", basic("bob", "bobs-own-password")).expect(t, "local", 200, "")
	if st := g.directoryState(t); st.Healthy || !strings.Contains(st.LastError, "connect") || st.Remedy == "" {
		t.Errorf("%+v", st)
	}
	s.start()
	g.get(t, "carol", "/api").expect(t, "at once when it is back", 200, "")

	// It accepts connections and says nothing.
	s.signal(syscall.SIGSTOP)
	begin := time.Now()
	g.get(t, "many1", "/api").expect(t, "it hangs", 503, "identity_unavailable")
	if took := time.Since(begin); took > 6*time.Second {
		t.Errorf("waited %v", took)
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() { g.get(t, fmt.Sprintf("many%d", i), "/api") })
	}
	slowest := time.Duration(0)
	for range 20 {
		begin := time.Now()
		g.get(t, "alice", "/api").expect(t, "others go on", 200, "")
		slowest = max(slowest, time.Since(begin))
	}
	if slowest > time.Second {
		t.Errorf("another request took %v", slowest)
	}
	wg.Wait()
	s.signal(syscall.SIGCONT)
	until(t, 6*time.Second, "it is asked again", func() bool { return g.get(t, "many2", "/api").status != 503 })
}

func TestADirectoryThatIsNotTrustedIsNotAsked(t *testing.T) {
	t.Parallel()
	s := newSlapd(t)
	other := newAuthority(t)
	for name, c := range map[string]struct{ provider, says, remedy string }{
		"another authority, StartTLS": {strings.Replace(s.provider(""), fmt.Sprintf("%q", read(t, s.ca.cert)), fmt.Sprintf("%q", read(t, other.cert)), 1), "unknown authority", "Give in ca"},
		"another authority, ldaps":    {strings.Replace(s.overTLS(""), fmt.Sprintf("%q", read(t, s.ca.cert)), fmt.Sprintf("%q", read(t, other.cert)), 1), "unknown authority", "Give in ca"},
		"another name":                {strings.Replace(s.overTLS(""), "localhost", "127.0.0.1", 1), "127.0.0.1", "Name the directory"},
		"a wrong bindPassword":        {strings.Replace(s.provider(""), searchPassword, "not-this", 1), "binding as bindDN", "bindPassword"},
		"a base that is not there":    {strings.Replace(s.provider(""), "ou=people", "ou=persons", 1), "No Such Object", "userBase"},
		"TLS asked on the plain port": {strings.Replace(s.overTLS(""), fmt.Sprint(s.tls), fmt.Sprint(s.plain), 1), "TLS with", ""},
	} {
		g := startDirectory(t, "", s, c.provider)
		a := g.get(t, "alice", "/api")
		a.expect(t, name, 503, "identity_unavailable")
		st := g.directoryState(t)
		if st.Healthy || !strings.Contains(st.LastError, c.says) || !strings.Contains(st.Remedy, c.remedy) || strings.Contains(st.LastError, "password") && strings.Contains(st.LastError, searchPassword) {
			t.Errorf("%s: %+v", name, st)
		}
		if out, code := g.cli(t, "", "provider", "check", "directory"); code == 0 || !strings.Contains(out, c.remedy) {
			t.Errorf("%s: provider check says %d %s", name, code, out)
		}
		g.stop(t)
	}
}

func TestManyLoginsAtOnceAreFewConnections(t *testing.T) {
	t.Parallel()
	s := newSlapd(t)
	g := startDirectory(t, "", s, s.provider(""))
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[string]int{}
	for i := range 60 {
		wg.Go(func() {
			for {
				a := g.get(t, fmt.Sprintf("many%d", i), "/api")
				mu.Lock()
				statuses[fmt.Sprint(a.status, a.code())]++
				mu.Unlock()
				if a.status != 503 && a.status != 429 {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	most, done := 0, make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for going := true; going; time.Sleep(5 * time.Millisecond) {
		most = max(most, connections(t, s.plain))
		select {
		case <-done:
			going = false
		default:
		}
	}
	// 16 logins, each with a connection to search and one to bind, and what is kept.
	if most > 2*16+8 {
		t.Errorf("%d connections to the directory", most)
	}
	if statuses["403permission_denied"] != 60 { // they are in no group
		t.Errorf("answers: %v", statuses)
	}
	t.Logf("at most %d connections; answers %v", most, statuses)
	if st := g.directoryState(t); st.UnderWay != 0 || st.IdleConnections > 8 {
		t.Errorf("%+v", st)
	}
}

// connections counts the established connections to a port, by the kernel's table.
func connections(t testing.TB, port int) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	to := fmt.Sprintf(":%04X", port)
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[2], to) && f[3] == "01" {
			n++
		}
	}
	return n
}

func TestAPersonOfTheDirectorySignsInUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		s := newSlapd(t)
		g := startDirectory(t, engine, s, s.provider(""))
		in := func(name, password string) (*surfer, *page) {
			surf := newSurfer(t, g, "app.example.com")
			p := surf.get(appSite + "/deep")
			if p.at.Path != "/.sallyport/login" || !strings.Contains(p.body, "Password") {
				t.Fatalf("no login page: %d %s %s", p.status, p.at, p.body)
			}
			return surf, surf.submit(p, 0, map[string]string{"username": name, "password": password})
		}
		surf, p := in("alice", "alices-password")
		if p.status != 200 || p.at.String() != appSite+"/deep" {
			t.Fatalf("after the login: %d %s %s", p.status, p.at, p.body)
		}
		var list struct {
			Items []struct{ User, Provider, Method string }
		}
		g.must(t, 200, "GET", "/v2/sessions", "").into(t, &list)
		if len(list.Items) != 1 || list.Items[0].User != "alice" || list.Items[0].Provider != "directory" || list.Items[0].Method != "ldap" {
			t.Errorf("sessions: %+v", list)
		}
		if _, p := in("alice", "wrong"); p.status != 401 {
			t.Errorf("a wrong password: %d %s", p.status, p.at)
		}
		if _, p := in("bob", "bobs-own-password"); p.status == 200 && p.at.Path == "/deep" {
			t.Error("a local user's session passed a route that asks for the directory's")
		}
		s.change(func(c *ldap.Conn) error {
			return c.Del(ldap.NewDelRequest("uid=alice,ou=people,"+directoryRoot, nil))
		})
		if _, p := in("alice", "alices-password"); p.status != 401 {
			t.Errorf("removed from the directory: %d %s", p.status, p.at)
		}
		if p := surf.get(appSite + "/deep"); p.status != 200 {
			t.Errorf("the session that ran: %d %s", p.status, p.at)
		}
		s.kill()
		if _, p := in("carol", "carols-password"); p.status != 503 {
			t.Errorf("the directory is away: %d %s", p.status, p.body)
		}
	})
}
