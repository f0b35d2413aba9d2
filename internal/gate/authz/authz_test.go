package authz

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sallyport/sallyport/internal/model"
)

// pattern is the tests' own reading of path patterns.
type pattern struct {
	text string
	re   *regexp.Regexp
}

func (p pattern) Match(path string) bool {
	switch {
	case p.re != nil:
		return p.re.MatchString(path)
	case strings.HasPrefix(p.text, "="):
		return path == p.text[1:]
	}
	prefix := strings.TrimSuffix(p.text, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func compilePattern(s string) (Matcher, error) {
	if strings.HasPrefix(s, "~") {
		re, err := regexp.Compile(s[1:])
		return pattern{s, re}, err
	}
	if s == "/broken" {
		return nil, errors.New("is broken")
	}
	return pattern{text: s}, nil
}

func compile(t testing.TB, set *model.Set) *Policy {
	t.Helper()
	p, faults := Compile(set, compilePattern)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return p
}

func shop() *model.Set {
	return &model.Set{
		Routes: []model.Route{
			{Name: "orders-v1", Access: model.AccessPermitted},
			{Name: "orders-v2", Access: model.AccessPermitted},
			{Name: "billing", Access: model.AccessPermitted},
			{Name: "profile", Access: model.AccessAuthenticated},
			{Name: "news", Access: model.AccessOptional},
		},
		Roles: []model.Role{
			{Name: "read-only", Permissions: []model.Permission{{Routes: []string{"*"}, Methods: []string{"GET", "OPTIONS"}}}},
			{Name: "orders-writer", Permissions: []model.Permission{
				{Routes: []string{"orders-v2"}, Methods: []string{"DELETE"}},
				{Routes: []string{"orders-*"}, Methods: []string{"POST", "PUT"}, Paths: []string{"/1.0/orders"},
					When: "!cidr('10.9.0.0/16').containsIP(request.ip)"}}},
			{Name: "purger", Permissions: []model.Permission{{Routes: []string{"orders-v1"}, Methods: []string{"PURGE"}}}},
			{Name: "profile-reader", Permissions: []model.Permission{{Routes: []string{"profile"}, Methods: []string{"GET"}}}},
			{Name: "root", Permissions: []model.Permission{{Routes: []string{"*"}, Methods: []string{"*"}}}},
			{Name: "nothing"},
		},
		Groups: []model.Group{
			{Name: "staff", Roles: []string{"read-only"}},
			{Name: "admins", Roles: []string{"root"}},
			{Name: "guests"},
		},
	}
}

func request(method, path, ip string) *Facts {
	f := &Facts{Request: &model.Request{Method: method, Time: time.Unix(1_800_000_000, 0)}, Path: path, Host: "api.example.com"}
	if ip != "" {
		f.ClientIP = netip.MustParseAddr(ip)
	}
	return f
}

func TestPermit(t *testing.T) {
	p := compile(t, shop())
	alice := &model.User{Username: "alice", Groups: []string{"staff"}, Roles: []string{"orders-writer"}}
	bob := &model.User{Username: "bob", Groups: []string{"staff"}}
	const orders, billing = "/1.0/orders/7", "/billing"
	for _, c := range []struct {
		name   string
		user   *model.User
		route  int
		method string
		path   string
		ip     string
		want   string // permission; "" = refused
		detail string
	}{
		{"a direct role permits", alice, 0, "POST", orders, "192.0.2.1", "role orders-writer, permission 2", ""},
		{"a group's role permits", bob, 0, "GET", orders, "192.0.2.1", "role read-only, permission 1", ""},
		{"GET includes HEAD", bob, 2, "HEAD", billing, "", "role read-only, permission 1", ""},
		{"methods are case-sensitive", bob, 2, "get", billing, "", "", "no role of the user's permits get on route billing"},
		{"a method not listed is refused and the roles that permit it are named", bob, 0, "POST", orders, "192.0.2.1", "",
			"no role of the user's permits POST on route orders-v1"},
		{"a route that no pattern covers is refused", alice, 2, "POST", billing, "192.0.2.1", "", "no role of the user's permits POST on route billing"},
		{"a path outside the permission's is refused", alice, 0, "POST", "/1.0/orders-archive", "192.0.2.1", "",
			"role orders-writer, permission 2 permits POST on route orders-v1, but not on this path"},
		{"a condition that does not hold refuses", alice, 0, "POST", orders, "10.9.3.4", "",
			"role orders-writer, permission 2 permits it where !cidr('10.9.0.0/16').containsIP(request.ip), which does not hold"},
		{"an IPv4-mapped address is the IPv4 address", alice, 0, "POST", orders, "::ffff:10.9.3.4", "", "role orders-writer, permission 2 permits it where !cidr('10.9.0.0/16').containsIP(request.ip), which does not hold"},
		{"an unknown address voids a condition on it", alice, 0, "POST", orders, "", "", "role orders-writer, permission 2: when failed: request.ip is unknown"},
		{"an extension method is compared whole", &model.User{Roles: []string{"purger"}}, 0, "PURGE", orders, "", "role purger, permission 1", ""},
		{"an extension method is not another", &model.User{Roles: []string{"purger"}}, 0, "PURGES", orders, "", "", "no role of the user's permits PURGES on route orders-v1"},
		{"* is any method", &model.User{Roles: []string{"root"}}, 0, "BREW", orders, "", "role root, permission 1", ""},
		{"a user without roles is refused", &model.User{Username: "eve"}, 0, "GET", orders, "", "", "the user has no role"},
		{"a role without permissions permits nothing", &model.User{Roles: []string{"nothing"}}, 0, "GET", orders, "", "", "no role of the user's permits GET on route orders-v1"},
		// hoop PR #128: any group whose name contained "admin" was an administrator.
		{"a group whose name contains admin means nothing", &model.User{Groups: []string{"non-admin-readers", "admin", "administrators"}}, 0, "GET", orders, "", "", "the user has no role"},
		{"names are not folded", &model.User{Groups: []string{"Staff", "ADMINS"}, Roles: []string{"Root"}}, 0, "GET", orders, "", "", "the user has no role"},
		// oauth2-proxy GHSA-652x-m2gr-hppm: an empty entry in a list matched everybody.
		{"an empty name is no role", &model.User{Groups: []string{""}, Roles: []string{"", "*"}}, 0, "GET", orders, "", "", "the user has no role"},
		{"access authenticated asks for no role", &model.User{Username: "eve"}, 3, "PUT", "/me", "", "access: authenticated", ""},
		{"nobody is refused where access is authenticated", nil, 3, "GET", "/me", "", "", "nobody is acting"},
		{"nobody passes where access is optional", nil, 4, "GET", "/news", "", "access: optional", ""},
		{"nobody is refused where access is permitted", nil, 0, "GET", orders, "", "", "nobody is acting"},
		{"a route that is not there is refused", alice, 99, "GET", orders, "", "", ""},
		{"no route is refused", alice, -1, "GET", orders, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s *Subject
			if c.user != nil {
				s = p.Subject(c.user, nil, nil, false)
			}
			got, err, detail := p.Permit(s, c.route, request(c.method, c.path, c.ip))
			if got != c.want || (err == nil) != (c.want != "") {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
			if err != nil && (err.Code != model.PermissionDenied || strings.Contains(err.Message, "role")) {
				t.Errorf("published %q, %q", err.Code, err.Message)
			}
			if detail != c.detail {
				t.Errorf("detail %q, want %q", detail, c.detail)
			}
			if got, _, again := p.Permit(s, c.route, request(c.method, c.path, c.ip)); got != c.want || again != detail {
				t.Errorf("asked again: %q, %q", got, again)
			}
		})
	}
}

func TestSubject(t *testing.T) {
	p := compile(t, shop())
	for _, c := range []struct {
		name          string
		user          *model.User
		extra         []string
		groups, roles []string
	}{
		{"roles are direct ones, then the groups', then the provider's, each once",
			&model.User{Groups: []string{"staff", "guests", "staff"}, Roles: []string{"orders-writer"}}, []string{"purger", "read-only"},
			[]string{"staff", "guests"}, []string{"orders-writer", "read-only", "purger"}},
		{"names that do not exist here are dropped",
			&model.User{Groups: []string{"strangers"}, Roles: []string{"king"}}, []string{"queen"}, nil, nil},
		{"nobody has nothing, whatever the provider gives", nil, []string{"root"}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := p.Subject(c.user, c.extra, nil, false)
			if d := cmp.Diff(c.groups, s.Groups()) + cmp.Diff(c.roles, s.Roles()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestScopesNarrow(t *testing.T) {
	p := compile(t, shop())
	carol := &model.User{Roles: []string{"root", "read-only"}}
	reader := &model.User{Roles: []string{"read-only"}}
	for _, c := range []struct {
		name   string
		user   *model.User
		scopes []string
		route  int
		method string
		allow  bool
	}{
		{"a role that the user has", carol, []string{"read-only"}, 0, "GET", true},
		{"a role that the user has, and does not permit it", carol, []string{"read-only"}, 0, "POST", false},
		{"a role that the user has not gives nothing", reader, []string{"root"}, 0, "GET", false},
		{"a pair", carol, []string{"orders-v1:POST"}, 0, "POST", true},
		{"a pair for another route", carol, []string{"orders-v1:POST"}, 1, "POST", false},
		{"a pair for another method", carol, []string{"orders-v1:POST"}, 0, "PUT", false},
		{"a pair's GET includes HEAD", carol, []string{"orders-v1:GET"}, 0, "HEAD", true},
		{"a pair with * in both halves", carol, []string{"orders-*:*"}, 1, "BREW", true},
		{"a pair never widens the user's roles", reader, []string{"*:*"}, 0, "POST", false},
		{"one of several suffices", carol, []string{"nothing", "billing:GET", "orders-v1:PUT"}, 0, "PUT", true},
		{"an empty list allows nothing", carol, nil, 0, "GET", false},
		{"malformed scopes allow nothing", carol, []string{"", ":", ":GET", "orders-v1:", "*", "orders-v1"}, 0, "GET", false},
		{"an OIDC scope is not a role", carol, []string{"openid", "profile"}, 3, "GET", false},
		{"access authenticated is narrowed too: no scope", carol, nil, 3, "GET", false},
		{"access authenticated is narrowed too: a pair", carol, []string{"profile:GET"}, 3, "GET", true},
		{"access authenticated is narrowed too: a role that speaks of the route", carol, []string{"read-only"}, 3, "GET", true},
		{"access authenticated is narrowed too: another method", carol, []string{"read-only"}, 3, "POST", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := p.Subject(c.user, nil, c.scopes, true)
			got, err, detail := p.Permit(s, c.route, request(c.method, "/1.0/orders", "192.0.2.1"))
			if (err == nil) != c.allow {
				t.Fatalf("permission %q, error %v", got, err)
			}
			if err != nil && detail == "" {
				t.Error("no detail")
			}
			if _, err, _ := p.Permit(p.Subject(c.user, nil, c.scopes, false), c.route, request("GET", "/1.0/orders", "192.0.2.1")); err != nil {
				t.Errorf("not narrowed, yet refused: %v", err)
			}
		})
	}
}

func TestCompileReportsEveryFaultWithItsPath(t *testing.T) {
	set := &model.Set{
		Roles: []model.Role{{Name: "a", Permissions: []model.Permission{
			{Routes: []string{"*"}, Methods: []string{"*"}, Paths: []string{"/", "/broken"}},
			{Routes: []string{"*"}, Methods: []string{"*"}, When: "user.nam == 'x'"},
			{Routes: []string{"*"}, Methods: []string{"*"}, When: "user.username"}}}},
		Routes: []model.Route{{Name: "r", Rules: []model.Rule{{Name: "one", Require: "("}, {Name: "two", Deny: "request.ip == 7"}, {Name: "three", Deny: "cidr('10.0.0.0/99').containsIP(request.ip)"}}}},
	}
	_, faults := Compile(set, compilePattern)
	want := []struct{ path, word string }{
		{"roles[0].permissions[0].paths[1]", "broken"},
		{"roles[0].permissions[1].when", "undefined field 'nam' (column 5)"},
		{"roles[0].permissions[2].when", "gives string"},
		{"routes[0].rules[0].require", "Syntax error"},
		{"routes[0].rules[1].deny", "no matching overload"},
		{"routes[0].rules[2].deny", "10.0.0.0/99"},
	}
	if len(faults) != len(want) {
		t.Fatalf("%d faults: %v", len(faults), faults)
	}
	for i, w := range want {
		if faults[i].Path != w.path || !strings.Contains(faults[i].Message, w.word) || strings.Contains(faults[i].Message, "\n") {
			t.Errorf("fault %d is %q, want %s with %q", i, faults[i], w.path, w.word)
		}
	}
}

func TestRolesThatPermitAreNamedForTheOperator(t *testing.T) {
	p := compile(t, shop())
	for _, c := range []struct {
		name, method, path string
		route              int
		want               []string
	}{
		{"by method and path", "POST", "/1.0/orders", 0, []string{"orders-writer", "root"}},
		{"another path", "POST", "/1.0/other", 0, []string{"root"}},
		{"an extension method", "PURGE", "/", 0, []string{"purger", "root"}},
		{"no such route", "GET", "/", 77, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, p.RolesThatPermit(c.route, request(c.method, c.path, ""))); d != "" {
				t.Error(d)
			}
		})
	}
}
