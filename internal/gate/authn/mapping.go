package authn

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

// Bounds of what a provider may assert of one user.
const (
	maxNames    = 1000
	maxNameLen  = 254
	maxCELCost  = 100_000
	maxTextLen  = 1024
	maxMapPaths = 64
)

// Mapping is a provider's mapping of claims to a user's fields, compiled.
type Mapping struct {
	provider                       *model.IdentityProvider
	username, email, name          *source
	groups, roles                  *source
	attributes                     map[string]*source
	preferredUsername, fallbackSub *source
}

// source is where one field comes from: a dotted path, or a CEL expression.
type source struct {
	path    string
	program cel.Program
}

// CompileMapping prepares a provider's mapping; at is the path of the provider in
// the faults.
func CompileMapping(p *model.IdentityProvider, at string) (*Mapping, model.Faults) {
	var f model.Faults
	var env *cel.Env
	compile := func(field, text string) *source {
		if text == "" {
			return nil
		}
		expression, isCEL := strings.CutPrefix(text, "=")
		if !isCEL {
			return &source{path: text}
		}
		if env == nil {
			var err error
			env, err = cel.NewEnv(cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)), ext.Strings())
			if err != nil {
				f.Add(at+".mapping", "CEL cannot be set up: "+err.Error())
				return nil
			}
		}
		program, err := compileCEL(env, expression)
		if err != nil {
			f.Add(at+".mapping."+field, err.Error())
			return nil
		}
		return &source{program: program}
	}
	m := &Mapping{provider: p, preferredUsername: &source{path: "preferred_username"}, fallbackSub: &source{path: "sub"}}
	m.username = compile("username", p.Mapping.Username)
	m.email = compile("email", p.Mapping.Email)
	m.name = compile("displayName", p.Mapping.DisplayName)
	m.groups = compile("groups", p.Mapping.Groups)
	m.roles = compile("roles", p.Mapping.Roles)
	if len(p.Mapping.Attributes) > maxMapPaths {
		f.Add(at+".mapping.attributes", fmt.Sprintf("are more than %d", maxMapPaths))
		return nil, f
	}
	for name, text := range p.Mapping.Attributes {
		if s := compile("attributes."+name, text); s != nil {
			if m.attributes == nil {
				m.attributes = make(map[string]*source)
			}
			m.attributes[name] = s
		}
	}
	if len(f) > 0 {
		return nil, f
	}
	return m, nil
}

func compileCEL(env *cel.Env, expression string) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if issues != nil && issues.Err() != nil {
		return nil, fmt.Errorf("is not a CEL expression over claims: %w", issues.Err())
	}
	return env.Program(ast, cel.CostLimit(maxCELCost))
}

// Outside says who the proof's identity is in our fields. A field that the mapping
// names and the claims lack is asserted as empty, so that what a provider no longer
// says is taken away. Roles are the mapped ones alone, without the provider's own.
// An error means that no username comes of it.
func (m *Mapping) Outside(p *Proof) (directory.Outside, error) {
	o := directory.Outside{Provider: m.provider, Subject: p.Subject, Asserted: directory.Asserted{
		Email: m.email != nil, DisplayName: m.name != nil, Groups: m.groups != nil,
		Roles: m.roles != nil, Attributes: m.attributes != nil}}
	var ok bool
	if o.Username, ok = m.usernameOf(p.Claims); !ok {
		return o, errors.New("no username comes of the claims: it is missing, no text, or not 1 to 254 characters without controls")
	}
	if e, _ := m.email.value(p.Claims).(string); model.ValidEmail(e) && !unverified(p.Claims) {
		o.Email = e
	}
	if n, _ := m.name.value(p.Claims).(string); len(n) <= maxTextLen && !strings.ContainsFunc(n, control) {
		o.DisplayName = n
	}
	o.Groups = names(m.groups.value(p.Claims))
	o.Roles = names(m.roles.value(p.Claims))
	for name, s := range m.attributes {
		if v := s.value(p.Claims); v != nil {
			if o.Attributes == nil {
				o.Attributes = make(map[string]any)
			}
			o.Attributes[name] = v
		}
	}
	return o, nil
}

// usernameOf takes the mapped username; where none is mapped, preferred_username
// and then sub. A mapped one that is missing is not made up from another claim.
func (m *Mapping) usernameOf(claims map[string]any) (string, bool) {
	v := m.username.value(claims)
	if m.username == nil {
		if v = m.preferredUsername.value(claims); v == nil || v == "" {
			v = m.fallbackSub.value(claims)
		}
	}
	s, ok := v.(string)
	return s, ok && model.ValidUsername(s)
}

// unverified is true where the provider itself says that nobody has checked the
// address: whoever types a victim's address there must not become the victim here.
func unverified(claims map[string]any) bool {
	v, ok := claims["email_verified"]
	return ok && v != true && v != "true"
}

// names reads a list of names, or a single one. A text is one name and is never
// split: "Domain admins" does not make an admin. Names are whole and exact; empty
// and repeated ones are left out (hoop PR 128, oauth2-proxy #3365).
func names(v any) []string {
	var out []string
	add := func(x any) {
		s, ok := x.(string)
		if !ok || s == "" || len(s) > maxNameLen || len(out) >= maxNames {
			return
		}
		for _, have := range out {
			if have == s {
				return
			}
		}
		out = append(out, s)
	}
	switch v := v.(type) {
	case string:
		add(v)
	case []any:
		for _, x := range v {
			add(x)
		}
	}
	return out
}

func control(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// value is what the claims hold for a field; nil where they hold nothing, and
// where a CEL expression fails, which fails towards fewer rights.
func (s *source) value(claims map[string]any) any {
	switch {
	case s == nil:
		return nil
	case s.program == nil:
		return walk(claims, s.path)
	}
	out, _, err := s.program.Eval(map[string]any{"claims": claims})
	if err != nil {
		return nil
	}
	return native(out)
}

// walk follows a dotted path. Names of claims may hold dots themselves, as URLs
// do, so the longest name that is there counts first at each level.
func walk(m map[string]any, path string) any {
	if v, ok := m[path]; ok {
		return v
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if child, ok := m[path[:i]].(map[string]any); ok {
			if v := walk(child, path[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}
