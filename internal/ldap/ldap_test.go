package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func registry(t testing.TB, o Options) *Registry {
	t.Helper()
	r := NewRegistry(o)
	t.Cleanup(r.Close)
	return r
}

func ask(t testing.TB, r *Registry, p *model.IdentityProvider, username, password string) Answer {
	t.Helper()
	a, err := r.Ask(context.Background(), p, username, password)
	if err != nil {
		t.Fatalf("%s: %v", username, err)
	}
	return a
}

func TestAUserIsSearchedAndProvenByABind(t *testing.T) {
	for _, wrap := range []bool{true, false} {
		s := newServer(t, wrap)
		dn := s.user("alice", "secret", map[string][]string{"entryUUID": {"0B2C8F4E-1111-2222-3333-444455556666"}, "mail": {"a@example.com"},
			"Title": {"one", "two"}, "userPassword": {"{SSHA}x"}, "jpegPhoto": {"\xff\xd8"}, "sub": {"root"}, "DN": {"cn=root"}})
		r, p := registry(t, Options{}), s.provider()
		a := ask(t, r, p, "ALICE", "secret")
		if a.Known || a.Refusal == "" { // the server compares exactly
			t.Errorf("another spelling: %+v", a)
		}
		a = ask(t, r, p, "alice", "secret")
		c := a.Claims
		if a.Refusal != "" || a.Subject != "0b2c8f4e-1111-2222-3333-444455556666" || c["sub"] != a.Subject || c["dn"] != dn ||
			c["mail"] != "a@example.com" || c["preferred_username"] != "alice" || fmt.Sprint(c["Title"]) != "[one two]" {
			t.Errorf("%+v", a)
		}
		for _, no := range []string{"userPassword", "jpegPhoto", "DN", "groups"} {
			if _, there := c[no]; there {
				t.Errorf("%s became a claim: %v", no, c)
			}
		}
		if a := ask(t, r, p, "alice", "wrong"); !a.Known || a.Subject != "" || !strings.Contains(a.Refusal, "(49)") {
			t.Errorf("a wrong password: %+v", a)
		}
	}
}

func TestAnEmptyPasswordAsksNobody(t *testing.T) {
	s := newServer(t, false)
	dn := s.user("alice", "secret", nil)
	s.set(func() { s.codes[dn] = 0 }) // as a server does that takes it for an unauthenticated bind
	if a := ask(t, registry(t, Options{}), s.provider(), "alice", ""); a.Refusal == "" || s.opened != 0 {
		t.Errorf("%+v after %d connections", a, s.opened)
	}
}

func TestAnUnknownNameCostsABindToo(t *testing.T) {
	s := newServer(t, false)
	s.user("alice", "secret", nil)
	r := registry(t, Options{})
	if a := ask(t, r, s.provider(), "mallory", "secret"); a.Known || a.Refusal == "" {
		t.Errorf("%+v", a)
	}
	if n := len(s.bound); n != 2 || !strings.HasSuffix(s.bound[1], ",ou=people") {
		t.Errorf("bound as %q", s.bound)
	}
}

func TestNamesAreComparedAndNeverReadAsFilters(t *testing.T) {
	s := newServer(t, false)
	s.user("alice", "secret", nil)
	s.user("we*ird (ä), \\ {dn}", "secret", nil)
	r, p := registry(t, Options{}), s.provider()
	for _, name := range []string{"*", "a*", "alice)(uid=*", "*)(uid=*))(|(uid=*", "alice)", "\\61lice", "{dn}", "{username}"} {
		if a := ask(t, r, p, name, "secret"); a.Known {
			t.Errorf("%q: %+v", name, a)
		}
	}
	if a := ask(t, r, p, "we*ird (ä), \\ {dn}", "secret"); a.Claims["preferred_username"] != "we*ird (ä), \\ {dn}" {
		t.Errorf("%+v", a)
	}
	for _, f := range s.searched {
		if strings.Count(f, "(") != 1 || strings.HasSuffix(f, "=*)") {
			t.Errorf("asked for %s", f)
		}
	}
}

func TestSeveralUsersOfANameAreNobody(t *testing.T) {
	s := newServer(t, false)
	s.user("alice", "secret", nil)
	r, p := registry(t, Options{}), s.provider()
	s.set(func() {
		s.answers["(uid=alice)"] = append(s.answers["(uid=alice)"], entry{"uid=alice,ou=others,ou=people", map[string][]string{"uid": {"alice"}}})
	})
	if a := ask(t, r, p, "alice", "secret"); a.Subject != "" || !strings.Contains(a.Refusal, "several") {
		t.Errorf("two: %+v", a)
	}
	s.set(func() {
		s.answers["(uid=alice)"] = append(s.answers["(uid=alice)"], entry{"uid=alice,ou=third,ou=people", nil})
	})
	if a := ask(t, r, p, "alice", "secret"); a.Subject != "" || !strings.Contains(a.Refusal, "several") {
		t.Errorf("a server that sends more than it was asked for: %+v", a)
	}
	s.set(func() {
		s.answers["(uid=alice)"] = s.answers["(uid=alice)"][:1]
		s.codeOf = func(string) uint16 { return ldap.LDAPResultSizeLimitExceeded }
	})
	if a := ask(t, r, p, "alice", "secret"); a.Subject != "" {
		t.Errorf("one, and the server's word that there are more: %+v", a)
	}
}

func TestOnlyAClearNoIsARefusal(t *testing.T) {
	s := newServer(t, false)
	dn := s.user("alice", "secret", nil)
	r, p := registry(t, Options{}), s.provider()
	for code, refused := range map[uint16]bool{
		ldap.LDAPResultInvalidCredentials: true, ldap.LDAPResultNoSuchObject: true, ldap.LDAPResultUnwillingToPerform: true,
		ldap.LDAPResultConstraintViolation: true, ldap.LDAPResultInappropriateAuthentication: true, ldap.LDAPResultInsufficientAccessRights: true,
		ldap.LDAPResultBusy: false, ldap.LDAPResultUnavailable: false, ldap.LDAPResultOperationsError: false, ldap.LDAPResultReferral: false,
		ldap.LDAPResultTimeLimitExceeded: false, ldap.LDAPResultConfidentialityRequired: false, ldap.LDAPResultOther: false, ldap.ErrorNetwork: false,
	} {
		s.set(func() { s.codes[dn] = code })
		a, err := r.Ask(context.Background(), p, "alice", "secret")
		if a.Subject != "" || refused != (err == nil && a.Refusal != "") || !refused && !errors.Is(err, ErrUnavailable) {
			t.Errorf("code %d: %+v %v", code, a, err)
		}
	}
	for _, code := range []uint16{ldap.LDAPResultNoSuchObject, ldap.LDAPResultReferral, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultBusy} {
		s.set(func() { delete(s.codes, dn); s.codeOf = func(string) uint16 { return code } })
		if _, err := r.Ask(context.Background(), p, "alice", "secret"); !errors.Is(err, ErrUnavailable) || r.Status(p).Remedy == "" {
			t.Errorf("a search with code %d: %v", code, err)
		}
	}
}

func TestAPasswordThatMustBeChangedOpensNothing(t *testing.T) {
	s := newServer(t, false)
	dn := s.user("alice", "secret", nil)
	s.set(func() { s.controls[dn] = ldap.ControlTypeVChuPasswordMustChange })
	if a := ask(t, registry(t, Options{}), s.provider(), "alice", "secret"); a.Subject != "" || !strings.Contains(a.Refusal, "changed") {
		t.Errorf("%+v", a)
	}
}

func TestWhatCannotBeTrustedIsNotAsked(t *testing.T) {
	s := newServer(t, true)
	s.user("alice", "secret", nil)
	r := registry(t, Options{})
	_, other := certificate(t, "localhost")
	for name, c := range map[string]struct {
		change func(*model.IdentityProvider)
		want   string
	}{
		"another authority":             {func(p *model.IdentityProvider) { p.CA = other }, "Give in ca"},
		"the system's roots":            {func(p *model.IdentityProvider) { p.CA = "" }, "Give in ca"},
		"a name that the cert has not":  {func(p *model.IdentityProvider) { p.URL = "ldaps://127.0.0.1:" + s.port() }, "Name the directory in url"},
		"TLS asked of a TLS port":       {func(p *model.IdentityProvider) { p.URL, p.StartTLS = "ldap://localhost:"+s.port(), true }, ""},
		"a wrong bindPassword":          {func(p *model.IdentityProvider) { p.BindDN = "cn=stranger" }, "bindDN"},
		"nobody there":                  {func(p *model.IdentityProvider) { p.URL = "ldaps://localhost:1" }, "runs"},
		"a host that does not exist":    {func(p *model.IdentityProvider) { p.URL = "ldaps://directory.invalid" }, ""},
		"no certificate at all in ca":   {func(p *model.IdentityProvider) { p.CA = "nothing" }, ""},
		"plain, to a host not loopback": {func(p *model.IdentityProvider) { p.URL = "ldap://192.0.2.1:389" }, ""},
	} {
		p := s.provider()
		c.change(p)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		a, err := r.Ask(ctx, p, "alice", "secret")
		cancel()
		if !errors.Is(err, ErrUnavailable) || a.Subject != "" {
			t.Errorf("%s: %+v %v", name, a, err)
		}
		if st := r.Status(p); st.Healthy || st.LastError == "" || !strings.Contains(st.Remedy, c.want) || strings.Contains(st.LastError+st.Remedy, "secret") {
			t.Errorf("%s: status %+v", name, st)
		}
	}
	if slices.Contains(s.searched, "(uid=alice)") {
		t.Error("a server that is not trusted was asked")
	}
}

// TestNothingInTheClearCountsAfterStartTLS is CVE-2011-0411 on our side: an answer
// to the first question, sent in the clear behind the one to StartTLS.
func TestNothingInTheClearCountsAfterStartTLS(t *testing.T) {
	s := newServer(t, false)
	s.set(func() { s.inject = result(1, ldap.ApplicationBindResponse, 0).Bytes() })
	r := registry(t, Options{})
	if a, err := r.Ask(context.Background(), s.provider(), "alice", "secret"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%+v %v", a, err)
	}
}

func TestGroupsOfGroupsAreFollowedAndCirclesEnd(t *testing.T) {
	s := newServer(t, false)
	dn := s.user("alice", "secret", nil)
	group := func(name string, member string, also ...string) {
		f := "(|(member=" + ldap.EscapeFilter(member) + "))"
		s.answers[f] = append(s.answers[f], entry{"cn=" + name + ",ou=groups", map[string][]string{"cn": append([]string{name}, also...)}})
	}
	group("staff", dn)
	group("all", "cn=staff,ou=groups")
	group("staff", "cn=all,ou=groups")
	p := s.provider()
	p.GroupBase, p.GroupFilter = "ou=groups", "(member={dn})"
	r := registry(t, Options{})
	if got := fmt.Sprint(ask(t, r, p, "alice", "secret").Claims["groups"]); got != "[staff]" {
		t.Errorf("direct: %s", got)
	}
	p.NestedGroups = true
	if got := fmt.Sprint(ask(t, r, p, "alice", "secret").Claims["groups"]); got != "[all staff]" {
		t.Errorf("nested: %s", got)
	}
	for i := range 9 {
		group(fmt.Sprint("deep", i+1), fmt.Sprintf("cn=deep%d,ou=groups", i))
	}
	group("deep0", dn)
	if got := fmt.Sprint(ask(t, r, p, "alice", "secret").Claims["groups"]); got != "[all deep0 deep1 deep2 deep3 deep4 deep5 deep6 deep7 deep8 deep9 staff]" {
		t.Errorf("deep: %s", got)
	}
	group("deep10", "cn=deep9,ou=groups")
	if _, err := r.Ask(context.Background(), p, "alice", "secret"); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errMany) {
		t.Errorf("deeper than is looked: %v", err)
	}
	s.set(func() {
		delete(s.answers, "(|(member=cn=deep9,ou=groups))")
		for i := range 1200 {
			group(fmt.Sprintf("many%04d", i), dn)
		}
	})
	// oauth2-proxy #1071: of a list that is cut short nobody can say what is missing. The
	// directory is not to blame, and others sign in as before.
	if a, err := r.Ask(context.Background(), p, "alice", "secret"); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errMany) {
		t.Errorf("1,200 groups: %v %v", len(a.Claims), err)
	}
	if d, _ := r.of(p); d.fault != nil {
		t.Errorf("the directory is blamed for it: %v", d.fault)
	}
	s.set(func() { clear(s.answers) }) // it would be cut short before the code is read
	s.user("alice", "secret", nil)
	s.set(func() {
		s.codeOf = func(f string) uint16 { return map[bool]uint16{true: 51}[strings.Contains(f, "member")] }
	})
	if _, err := r.Ask(context.Background(), p, "alice", "secret"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("groups that cannot be had: %v", err)
	}
}

func TestADirectoryThatFollowsGroupsByItselfIsLeftToIt(t *testing.T) {
	s := newServer(t, false)
	dn := s.user("alice", "secret", map[string][]string{"objectGUID": {"\x78\x56\x34\x12\x34\x12\x78\x56\x01\x02\x03\x04\x05\x06\x07\x08"}})
	s.answers["(objectClass=*)"] = []entry{{"", map[string][]string{"supportedCapabilities": {"1.2.840.113556.1.4.800"}}}}
	s.answers["(|(member:1.2.840.113556.1.4.1941:="+ldap.EscapeFilter(dn)+"))"] = []entry{{"cn=far,ou=groups", map[string][]string{"cn": {"far"}}}}
	p := s.provider()
	p.GroupBase, p.GroupFilter, p.NestedGroups = "ou=groups", "(member={dn})", true
	r := registry(t, Options{})
	for range 2 {
		a := ask(t, r, p, "alice", "secret")
		if fmt.Sprint(a.Claims["groups"]) != "[far]" || a.Subject != "12345678-1234-5678-0102-030405060708" {
			t.Errorf("%+v", a)
		}
	}
	if n := strings.Count(strings.Join(s.searched, " "), "objectClass"); n != 1 {
		t.Errorf("asked %d times what the directory can do", n)
	}
}

func TestConnectionsAreKeptFewAndReplaced(t *testing.T) {
	s := newServer(t, false)
	s.user("alice", "secret", nil)
	r, p := registry(t, Options{Calls: 3, Spare: 2}), s.provider()
	for range 20 {
		ask(t, r, p, "alice", "secret")
	}
	if s.opened != 2 {
		t.Errorf("twenty logins in a row took %d connections", s.opened)
	}
	s.set(func() { s.slow = 5 * time.Millisecond })
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() { ask(t, r, p, "alice", "secret") })
	}
	wg.Wait()
	if st := r.Status(p); s.most > 2*3+2 || st.Idle > 4 || st.UnderWay != 0 {
		t.Errorf("%d connections at once, %+v", s.most, st)
	}
	address := s.address()
	s.stop()
	begin := time.Now()
	if _, err := r.Ask(context.Background(), p, "alice", "secret"); !errors.Is(err, ErrUnavailable) || time.Since(begin) > time.Second {
		t.Errorf("stopped: %v after %v", err, time.Since(begin))
	}
	for range 5 {
		_, _ = r.Ask(context.Background(), p, "alice", "secret")
	}
	s.listen(address)
	if a := ask(t, r, p, "alice", "secret"); a.Subject == "" || !r.Status(p).Healthy {
		t.Errorf("back: %+v", a)
	}
	r.Retain(nil)
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections to a directory that nobody has any more", n)
		}
	}
}

func TestUnusedConnectionsAreClosed(t *testing.T) {
	s := newServer(t, false)
	s.user("alice", "secret", nil)
	r, p := registry(t, Options{Idle: 30 * time.Millisecond}), s.provider()
	ask(t, r, p, "alice", "secret")
	for end := time.Now().Add(2 * time.Second); r.Status(p).Idle > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("they are not")
		}
	}
	ask(t, r, p, "alice", "secret")
}

func TestADirectoryThatSwallowsQuestionsIsLeftAlone(t *testing.T) {
	s := newServer(t, false)
	s.user("alice", "secret", nil)
	r, p := registry(t, Options{Connect: 50 * time.Millisecond, Timeout: 50 * time.Millisecond, Pause: 300 * time.Millisecond}), s.provider()
	ask(t, r, p, "alice", "secret")
	s.set(func() { s.stall = true })
	for range 3 {
		begin := time.Now()
		_, err := r.Ask(context.Background(), p, "alice", "secret")
		if took := time.Since(begin); !errors.Is(err, ErrUnavailable) || took > 500*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
	}
	begin := time.Now()
	if _, err := r.Ask(context.Background(), p, "alice", "secret"); !errors.Is(err, errPause) || time.Since(begin) > 20*time.Millisecond || !r.Status(p).Paused {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if st := r.Status(p); st.Idle != 0 {
		t.Errorf("%d connections are kept that nobody answers on", st.Idle)
	}
	s.set(func() { s.stall = false })
	time.Sleep(320 * time.Millisecond)
	if a := ask(t, r, p, "alice", "secret"); a.Subject == "" {
		t.Errorf("%+v", a)
	}
}

func TestUsernamesAreTheDirectorysOwn(t *testing.T) {
	e := &ldap.Entry{DN: "uid=a", Attributes: []*ldap.EntryAttribute{{Name: "uid", Values: []string{"other", "Alice"}}, {Name: "mail", Values: []string{"a@x"}}}}
	for _, c := range []struct{ filter, typed, want string }{
		{"", "ALICE", "Alice"}, {"(|(UID={username})(mail={username}))", "a@x", "other"},
		{"(&(objectClass=person)(mail={username}))", "A@X", "a@x"}, {"(userPrincipalName={username}@corp)", "alice", "alice"}, {"(cn={username})", "typed", "typed"},
	} {
		if got := username(&model.IdentityProvider{UserFilter: c.filter}, e, c.typed); got != c.want {
			t.Errorf("%s, typed %s: %s, want %s", c.filter, c.typed, got, c.want)
		}
	}
}

func TestAttributesAreFoundInTheMappingsSpelling(t *testing.T) {
	p := &model.IdentityProvider{GroupBase: "x", Mapping: model.Mapping{DisplayName: "displayname", Email: "=claims.mail", Attributes: map[string]string{"a": "TITLE"}}}
	c, _ := claimsOf(p, &ldap.Entry{DN: "uid=a", Attributes: []*ldap.EntryAttribute{{Name: "displayName", Values: []string{"A"}}, {Name: "title", Values: []string{"T"}},
		{Name: "groups", Values: []string{"admins"}}, {Name: "Sub", Values: []string{"x"}}}}, "alice")
	if c["displayname"] != "A" || c["TITLE"] != "T" || c["groups"] != nil || c["Sub"] != nil || c["preferred_username"] != "alice" {
		t.Errorf("%v", c)
	}
}

func TestFaultsAreToldBeforeAnybodyIsAsked(t *testing.T) {
	_, ca := certificate(t, "localhost")
	good := model.IdentityProvider{Type: model.ProviderLDAP, URL: "ldaps://x", CA: ca, UserBase: "dc=x", GroupBase: "ou=g,dc=x"}
	for field, change := range map[string]func(*model.IdentityProvider){
		"": func(*model.IdentityProvider) {}, "ca": func(p *model.IdentityProvider) { p.CA = "x" },
		"userFilter":  func(p *model.IdentityProvider) { p.UserFilter = "(uid={username}" },
		"groupFilter": func(p *model.IdentityProvider) { p.GroupFilter = "member={dn})" },
		"userBase":    func(p *model.IdentityProvider) { p.UserBase = "people" },
		"groupBase":   func(p *model.IdentityProvider) { p.GroupBase = "a=b,c" },
	} {
		p := good
		change(&p)
		f := Faults([]model.IdentityProvider{p})
		if field == "" && len(f) != 0 || field != "" && (len(f) != 1 || f[0].Path != "identityProviders[0]."+field) {
			t.Errorf("%s: %v", field, f)
		}
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	s := newServer(t, true)
	s.user("alice", "secret", nil)
	s.answers["(uid=*)"] = s.answers["(uid=alice)"]
	r, p := registry(t, Options{}), s.provider()
	rep := r.Check(context.Background(), p)
	if !rep.OK || len(rep.Findings) != 3 {
		t.Errorf("%+v", rep)
	}
	p.GroupBase, p.NestedGroups = "ou=groups", true
	if rep := r.Check(context.Background(), p); !rep.OK || rep.Findings[3].Level != LevelWarning || rep.Findings[4].About != "nestedGroups" {
		t.Errorf("%+v", rep)
	}
	s.set(func() { s.codeOf = func(string) uint16 { return ldap.LDAPResultNoSuchObject } })
	if rep := r.Check(context.Background(), p); rep.OK || !strings.Contains(rep.Findings[2].Remedy, "userBase") {
		t.Errorf("%+v", rep)
	}
	p.BindDN = "cn=stranger"
	if rep := r.Check(context.Background(), p); rep.OK || rep.Findings[1].About != "bind" || rep.Findings[1].Remedy == "" {
		t.Errorf("%+v", rep)
	}
	if len(r.dirs) != 0 {
		t.Error("a check left something behind")
	}
}

// What gives groups or roles is told whole, or not at all.
func TestAnAttributeThatIsCutShortGivesNoRights(t *testing.T) {
	many := make([]string, mostValues+1)
	for i := range many {
		many[i] = fmt.Sprintf("cn=g%d,dc=x", i)
	}
	long := []string{strings.Repeat("x", longestValue+1)}
	for _, c := range []struct {
		name      string
		mapping   model.Mapping
		attribute string
		values    []string
		err       bool
	}{
		{"as many as are taken", model.Mapping{Groups: "memberOf"}, "memberOf", many[1:], false},
		{"too many groups", model.Mapping{Groups: "memberof"}, "memberOf", many, true},
		{"too many roles", model.Mapping{Roles: "memberOf"}, "memberOf", many, true},
		{"by CEL", model.Mapping{Groups: "=claims.memberOf.map(g, g)"}, "memberOf", many, true},
		{"one that is too long", model.Mapping{Groups: "memberOf"}, "memberOf", long, true},
		{"of which nobody makes rights", model.Mapping{Groups: "other"}, "memberOf", many, false},
		{"a piece of the groups, as Active Directory tells them", model.Mapping{Groups: "memberOf"}, "memberof;Range=0-1499", many[:1], true},
		{"a piece of what nobody makes rights of", model.Mapping{Groups: "other"}, "memberOf;range=0-1499", many[:1], false},
	} {
		p := &model.IdentityProvider{Type: model.ProviderLDAP, Mapping: c.mapping}
		claims, err := claimsOf(p, &ldap.Entry{DN: "uid=a", Attributes: []*ldap.EntryAttribute{{Name: c.attribute, Values: c.values}}}, "a")
		if (err != nil) != c.err || c.err && !errors.Is(err, errMany) {
			t.Errorf("%s: %v", c.name, err)
		}
		if list, _ := claims["memberOf"].([]any); !c.err && c.mapping.Groups == "memberOf" && len(list) != mostValues {
			t.Errorf("%s: %d values", c.name, len(list))
		}
	}
}
