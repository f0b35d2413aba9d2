package authz

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
	"pgregory.net/rapid"
)

// permits is the slow reading of SPEC 8, without anything precomputed.
func permits(set *model.Set, u *model.User, extra, scopes []string, narrow bool, route int, f *Facts) bool {
	r := &set.Routes[route]
	held := append(slices.Clone(u.Roles), extra...)
	for _, g := range set.Groups {
		if slices.Contains(u.Groups, g.Name) {
			held = append(held, g.Roles...)
		}
	}
	method := func(list []string) bool {
		return slices.Contains(list, "*") || slices.Contains(list, f.Request.Method) ||
			f.Request.Method == "HEAD" && slices.Contains(list, "GET")
	}
	pair := false
	for _, s := range scopes {
		if name, m, ok := strings.Cut(s, ":"); ok && glob(name, r.Name) && method([]string{m}) {
			pair = true
		}
	}
	if r.Access == model.AccessAuthenticated && (!narrow || pair) {
		return true
	}
	for _, role := range set.Roles {
		if !slices.Contains(held, role.Name) || narrow && !pair && !slices.Contains(scopes, role.Name) {
			continue
		}
		for _, m := range role.Permissions {
			onRoute := slices.ContainsFunc(m.Routes, func(p string) bool { return glob(p, r.Name) })
			onPath := len(m.Paths) == 0 || slices.ContainsFunc(m.Paths, func(p string) bool { return pattern{text: p}.Match(f.Path) })
			when := m.When == "" || m.When == "request.method == 'POST'" && f.Request.Method == "POST"
			if onRoute && onPath && when && method(m.Methods) {
				return true
			}
		}
	}
	return false
}

// glob is MatchName by recursion.
func glob(p, s string) bool {
	if p == "" {
		return s == ""
	}
	if p[0] == '*' {
		return glob(p[1:], s) || s != "" && glob(p, s[1:])
	}
	return s != "" && p[0] == s[0] && glob(p[1:], s[1:])
}

func TestPermitAgreesWithTheSlowReading(t *testing.T) {
	routes := []string{"orders", "orders-v1", "billing", "b"}
	names := []string{"r0", "r1", "r2", "r3"}
	rapid.Check(t, func(t *rapid.T) {
		some := func(label string, of ...string) []string {
			return rapid.SliceOfN(rapid.SampledFrom(of), 0, 3).Draw(t, label)
		}
		set := &model.Set{}
		for i, n := range routes {
			set.Routes = append(set.Routes, model.Route{Name: n, Access: rapid.SampledFrom([]model.Access{model.AccessPermitted, model.AccessAuthenticated}).Draw(t, fmt.Sprint("access", i))})
		}
		for _, n := range names {
			role := model.Role{Name: n}
			for i := range rapid.IntRange(0, 2).Draw(t, "permissions") {
				label := fmt.Sprint(n, i)
				role.Permissions = append(role.Permissions, model.Permission{
					Routes:  some(label+"routes", "*", "orders*", "*-v1", "b", "*i*g"),
					Methods: some(label+"methods", "GET", "POST", "HEAD", "*", "BREW"),
					Paths:   some(label+"paths", "/", "/a", "/a/b", "=/a"),
					When:    rapid.SampledFrom([]string{"", "", "request.method == 'POST'", "claims.missing == 1"}).Draw(t, label+"when"),
				})
			}
			set.Roles = append(set.Roles, role)
		}
		set.Groups = []model.Group{{Name: "g0", Roles: some("g0", names...)}, {Name: "g1", Roles: some("g1", names...)}}
		p, faults := Compile(set, compilePattern)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		u := &model.User{Groups: some("groups", "g0", "g1", "g2"), Roles: some("roles", "r0", "r1", "r9")}
		extra, scopes := some("extra", "r2", "r9"), some("scopes", "r0", "r2", "orders:POST", "*:GET", "b*:*", "*:BREW")
		narrow := rapid.Bool().Draw(t, "narrow")
		s := p.Subject(u, extra, scopes, narrow)
		for route := range routes {
			for _, m := range []string{"GET", "HEAD", "POST", "BREW"} {
				for _, path := range []string{"/", "/a", "/a/b", "/ab"} {
					f := request(m, path, "")
					label, err, _ := p.Permit(s, route, f)
					if want := permits(set, u, extra, scopes, narrow, route, f); (err == nil) != want {
						t.Fatalf("%s %s on %s: %q, %v; the slow reading says %v", m, path, routes[route], label, err, want)
					}
				}
			}
		}
	})
}

func TestManyRequestsShareOneSubject(t *testing.T) {
	set := shop()
	for i := range 300 {
		set.Routes = append(set.Routes, model.Route{Name: fmt.Sprint("extra-", i), Access: model.AccessPermitted})
	}
	p := compile(t, set)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := p.Subject(&model.User{Roles: []string{"read-only", "orders-writer"}}, nil, nil, false)
			for i := range set.Routes {
				if _, err, _ := p.Permit(s, i, request("GET", "/", "192.0.2.1")); err != nil {
					t.Error(err)
				}
				if _, err, _ := p.Permit(s, i, request("DELETE", "/", "192.0.2.1")); (err == nil) != (i == 1 || i == 3 || i == 4) { // 3 and 4 ask for no role
					t.Error(i, err)
				}
				_, _, _ = p.Permit(s, 0, request("POST", "/1.0/orders", "192.0.2.1"))
			}
		})
	}
	wg.Wait()
}

func TestRoleSetsAreSharedAndBounded(t *testing.T) {
	set := shop()
	for i := range 12 {
		set.Roles = append(set.Roles, model.Role{Name: fmt.Sprint("x", i), Permissions: []model.Permission{{Routes: []string{"*"}, Methods: []string{"GET"}}}})
	}
	p := compile(t, set)
	a := p.Subject(&model.User{Roles: []string{"x1", "x2"}}, nil, nil, false)
	b := p.Subject(&model.User{Roles: []string{"x2", "x1"}}, nil, nil, false)
	if a.rights != b.rights {
		t.Error("the same roles have two rights")
	}
	for mask := range 1 << 12 {
		var roles []string
		for i := range 12 {
			if mask>>i&1 == 1 {
				roles = append(roles, fmt.Sprint("x", i))
			}
		}
		s := p.Subject(&model.User{Roles: roles}, nil, nil, false)
		if _, err, _ := p.Permit(s, 0, request("GET", "/", "")); (err == nil) != (mask != 0) {
			t.Fatal(mask, err)
		}
	}
	if len(p.rights) > maxRights {
		t.Errorf("%d role sets are kept", len(p.rights))
	}
}

// FuzzCondition: no text makes the compiler or the evaluation panic, and only
// true and false are answers.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{"true", "request.tls.version == '1.3'", "user.groups.exists(g, g == 'x')", "cidr('10.0.0.0/8').containsIP(request.ip)", "has(request.headers.x)", "User{username: 'x'} == user", "request.headers == request.headers", "dyn(client)['x']", "type(request.headers) == map", "[user, client].size() == 2", "{'a': user}['a'].username == 'alice'"} {
		f.Add(s)
	}
	set := shop()
	p, _ := Compile(set, compilePattern)
	f.Fuzz(func(t *testing.T, text string) {
		conds, err := newConditions()
		if err != nil {
			t.Fatal(err)
		}
		cond, fault := conds.compile(text)
		if (cond == nil) == (fault == "") {
			t.Fatalf("%v, %q", cond, fault)
		}
		if cond != nil {
			_, _ = conds.holds(cond, p, fullFacts())
			_, _ = conds.holds(cond, p, request("GET", "/", ""))
		}
	})
}
