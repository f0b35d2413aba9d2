package authz

import (
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func large(routes, roles int) *model.Set {
	set := &model.Set{}
	for i := range routes {
		set.Routes = append(set.Routes, model.Route{Name: fmt.Sprintf("route-%d", i), Access: model.AccessPermitted})
	}
	for i := range roles {
		set.Roles = append(set.Roles, model.Role{Name: fmt.Sprintf("role-%d", i), Permissions: []model.Permission{
			{Routes: []string{fmt.Sprintf("route-%d*", i)}, Methods: []string{"GET", "POST"}, Paths: []string{"/api"}},
			{Routes: []string{"nowhere"}, Methods: []string{"*"}}}})
	}
	return set
}

func BenchmarkPermit(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("%d routes", n), func(b *testing.B) {
			p := compile(b, large(n, 1000))
			s := p.Subject(&model.User{Roles: []string{"role-1", "role-2", "role-3"}}, nil, nil, false)
			f := request("POST", "/api/x", "192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				if _, err, _ := p.Permit(s, 3, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPermitNarrowed(b *testing.B) {
	p := compile(b, large(10, 10))
	s := p.Subject(&model.User{Roles: []string{"role-3"}}, nil, []string{"role-1", "route-*:POST"}, true)
	f := request("POST", "/api/x", "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err, _ := p.Permit(s, 3, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPermitRefused(b *testing.B) {
	p := compile(b, large(10_000, 1000))
	s := p.Subject(&model.User{Roles: []string{"role-1"}}, nil, nil, false)
	f := request("DELETE", "/api/x", "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err, _ := p.Permit(s, 3, f); err == nil {
			b.Fatal("allowed")
		}
	}
}

func BenchmarkPermitWhen(b *testing.B) {
	for _, text := range []string{"!cidr('10.9.0.0/16').containsIP(request.ip)", "request.method == 'POST'",
		"request.headers['x-tenant'] == user.attributes.team", "user.groups.exists(g, g == 'staff')"} {
		b.Run(text, func(b *testing.B) {
			set := large(1, 1)
			set.Roles[0].Permissions[0].When = text
			p := compile(b, set)
			s := p.Subject(&model.User{Roles: []string{"role-0"}}, nil, nil, false)
			f := fullFacts()
			f.Path, f.Request.Fields[0].Value = "/api", "blue"
			b.ReportAllocs()
			for b.Loop() {
				if _, err, _ := p.Permit(s, 0, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSubject(b *testing.B) {
	p := compile(b, large(10_000, 1000))
	u := &model.User{Roles: []string{"role-1", "role-2", "role-3"}}
	b.ReportAllocs()
	for b.Loop() {
		_ = p.Subject(u, nil, nil, false)
	}
}

func BenchmarkCompile(b *testing.B) {
	set := large(10_000, 1000)
	b.ReportAllocs()
	for b.Loop() {
		compile(b, set)
	}
}

func BenchmarkCompileCondition(b *testing.B) {
	set := large(1, 1)
	set.Roles[0].Permissions[0].When = "!cidr('10.9.0.0/16').containsIP(request.ip)"
	b.ReportAllocs()
	for b.Loop() {
		compile(b, set)
	}
}

func TestPermitWithoutConditionsDoesNotAllocate(t *testing.T) {
	p := compile(t, large(100, 10))
	for _, narrow := range []bool{false, true} {
		s := p.Subject(&model.User{Roles: []string{"role-3"}}, nil, []string{"route-3:POST"}, narrow)
		f := request("POST", "/api/x", "192.0.2.1")
		if n := testing.AllocsPerRun(100, func() {
			_, _, _ = p.Permit(s, 3, f)
			_, _, _ = p.Rules(3, f)
		}); n != 0 {
			t.Errorf("%v allocations, narrow %v", n, narrow)
		}
	}
}
