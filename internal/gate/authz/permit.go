package authz

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/internal/model"
)

// What a refused caller may read. Which role is missing is not among it.
var (
	errPermission = model.NewError(model.PermissionDenied, "You may not do this here.")
	errRule       = model.NewError(model.PermissionDenied, "A rule of this route refuses the request.")
)

// Permit says whether the subject may use the route with f's method and path,
// and which permission says so. Refused is the default: without a permission
// that matches, err is PermissionDenied, and detail says what came closest and
// which conditions failed: for audit and explain, never for the caller.
//
// A route whose access is authenticated or optional needs no permission, yet a
// narrowed credential is held to its scopes there too.
func (p *Policy) Permit(s *Subject, route int, f *Facts) (permission string, err *model.Error, detail string) {
	if route < 0 || route >= len(p.routes) {
		return "", errPermission, ""
	}
	r := &p.routes[route]
	if s == nil {
		if r.access == model.AccessOptional {
			return "access: optional", nil, ""
		}
		return "", errPermission, "nobody is acting"
	}
	bit := methodBit(f.Request.Method)
	paired := s.narrow && s.paired(r.name, bit, f.Request.Method)
	if r.access == model.AccessAuthenticated || r.access == model.AccessOptional {
		if !s.narrow || paired {
			return "access: authenticated", nil, ""
		}
	}
	var failed error
	for _, q := range s.rights.on(p, route) {
		if !q.methods.has(bit, f.Request.Method) || !q.onPath(f.Path) {
			continue
		}
		if s.narrow && !paired && !slices.Contains(s.scopeRoles, q.role) {
			continue
		}
		if q.when == nil {
			return q.label, nil, ""
		}
		holds, err := p.conds.holds(q.when, p, f)
		if err != nil { // voids this permission and no other
			failed = fmt.Errorf("%s: when failed: %w", q.label, err)
			continue
		}
		if holds {
			return q.label, nil, ""
		}
	}
	err, detail = errPermission, p.why(s, route, bit, f)
	if failed != nil {
		err, detail = err.WithCause(failed), failed.Error()
	}
	return "", err, detail
}

// Rules asks the route's rules in their order. The first that refuses is named;
// rules only take away, so a condition that cannot be evaluated refuses too.
func (p *Policy) Rules(route int, f *Facts) (rule string, err *model.Error, detail string) {
	if route < 0 || route >= len(p.routes) {
		return "", errRule, ""
	}
	rules := p.routes[route].rules
	for i := range rules {
		r := &rules[i]
		holds, err := p.conds.holds(r.when, p, f)
		switch {
		case err != nil:
			return r.name, errRule.WithCause(err), "rule " + r.name + " cannot be evaluated: " + err.Error()
		case r.deny && holds:
			return r.name, errRule, "rule " + r.name + " denies: " + r.when.text + " is true"
		case !r.deny && !holds:
			return r.name, errRule, "rule " + r.name + " requires " + r.when.text + ", which is false"
		}
	}
	return "", nil, ""
}

// why says, for audit and explain, what came closest to letting the caller in.
func (p *Policy) why(s *Subject, route int, bit uint16, f *Facts) string {
	name, method := p.routes[route].name, f.Request.Method
	for _, q := range s.rights.on(p, route) {
		switch {
		case !q.methods.has(bit, method):
		case !q.onPath(f.Path):
			return q.label + " permits " + method + " on route " + name + ", but not on this path"
		case s.narrow && !slices.Contains(s.scopeRoles, q.role) && !s.paired(name, bit, method):
			return q.label + " permits it, but the credential's scopes do not; a scope that would: " +
				p.roles[q.role].name + " or " + name + ":" + method
		case q.when != nil:
			return q.label + " permits it where " + q.when.text + ", which does not hold"
		}
	}
	if s.narrow && p.routes[route].access != model.AccessPermitted {
		return "the credential's scopes do not cover it; a scope that would: " + name + ":" + method
	}
	if len(s.roles) == 0 {
		return "the user has no role"
	}
	return "no role of the user's permits " + method + " on route " + name
}

// RolesThatPermit names the roles that permit f's method and path on the route,
// conditions apart: what an operator could give to a user that was refused.
func (p *Policy) RolesThatPermit(route int, f *Facts) []string {
	if route < 0 || route >= len(p.routes) {
		return nil
	}
	var names []string
	name, bit := p.routes[route].name, methodBit(f.Request.Method)
	for i := range p.roles {
		for j := range p.roles[i].permissions {
			q := &p.roles[i].permissions[j]
			if q.methods.has(bit, f.Request.Method) && q.onPath(f.Path) && q.onRoute(name) {
				names = append(names, p.roles[i].name)
				break
			}
		}
	}
	return names
}
