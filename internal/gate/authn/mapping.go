package authn

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

// Bounds of what a provider may assert of one user.
const (
	maxNames    = 10_000
	maxNameLen  = 254
	maxCELCost  = 100_000
	maxTextLen  = 1024
	maxMapPaths = 64
	maxExtra    = 16 << 10 // bytes of all attributes, as JSON
)

// ErrTooMuch says that a provider asserts more of a user than is taken in. It is a
// refusal: what would be left out, of a list without order, might be just the group
// that a condition denies.
var ErrTooMuch = errors.New("the provider asserts more than is taken in")

var errNoUsername = errors.New("no username comes of the claims: it is missing, no text, or not 1 to 254 characters without controls")

func tooMuch(what string) error { return fmt.Errorf("%w: %s", ErrTooMuch, what) }

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
// An error means that no username comes of it, or is ErrTooMuch.
func (m *Mapping) Outside(p *Proof) (directory.Outside, error) {
	o := directory.Outside{Provider: m.provider, Subject: p.Subject, Asserted: directory.Asserted{
		Email: m.email != nil, DisplayName: m.name != nil, Groups: m.groups != nil,
		Roles: m.roles != nil, Attributes: m.attributes != nil}}
	var r reading
	var ok bool
	if o.Username, ok = m.usernameOf(&r, p.Claims); !ok {
		return o, cmp.Or(r.err, errNoUsername)
	}
	if e, _ := r.value(m.email, p.Claims).(string); model.ValidEmail(e) && !unverified(p.Claims) {
		o.Email = e
	}
	if n, _ := r.value(m.name, p.Claims).(string); len(n) <= maxTextLen && !strings.ContainsFunc(n, control) {
		o.DisplayName = n
	}
	o.Groups = r.names("groups", r.value(m.groups, p.Claims))
	o.Roles = r.names("roles", r.value(m.roles, p.Claims))
	for name, s := range m.attributes {
		if v := r.value(s, p.Claims); v != nil {
			if o.Attributes == nil {
				o.Attributes = make(map[string]any)
			}
			o.Attributes[name] = v
		}
	}
	if len(o.Attributes) > 0 {
		if b, err := json.Marshal(o.Attributes); err != nil || len(b) > maxExtra {
			r.err = tooMuch(fmt.Sprintf("attributes of more than %d bytes", maxExtra))
		}
	}
	return o, r.err
}

// reading is one look at a proof's claims, and what was too much of them.
type reading struct{ err error }

// value is what the claims hold for a field; nil where they hold nothing, and where a
// CEL expression fails, which fails towards fewer rights. One that does not come to its
// end says nothing of the claims, and is too much.
func (r *reading) value(s *source, claims map[string]any) any {
	v, err := s.value(claims)
	if cut := (interpreter.EvalCancelledError{}); errors.As(err, &cut) {
		r.err = tooMuch("a CEL expression of the mapping takes too long with these claims")
	}
	return v
}

// usernameOf takes the mapped username; where none is mapped, preferred_username
// and then sub. A mapped one that is missing is not made up from another claim.
func (m *Mapping) usernameOf(r *reading, claims map[string]any) (string, bool) {
	v := r.value(m.username, claims)
	if m.username == nil {
		if v = r.value(m.preferredUsername, claims); v == nil || v == "" {
			v = r.value(m.fallbackSub, claims)
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
// and repeated ones are left out (hoop PR 128, oauth2-proxy #3365), and so is one
// that is longer than any name here can be.
func (r *reading) names(field string, v any) []string {
	var out []string
	have := map[string]bool{}
	add := func(x any) {
		s, ok := x.(string)
		if !ok || s == "" || len(s) > maxNameLen || have[s] {
			return
		}
		if len(out) >= maxNames {
			r.err = tooMuch(fmt.Sprintf("more than %d %s", maxNames, field))
			return
		}
		have[s] = true
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

// value is what the claims hold for a field; nil where they hold nothing. The error
// is that of a CEL expression.
func (s *source) value(claims map[string]any) (any, error) {
	switch {
	case s == nil:
		return nil, nil
	case s.program == nil:
		return walk(claims, s.path), nil
	}
	out, _, err := s.program.Eval(map[string]any{"claims": claims})
	if err != nil {
		return nil, err
	}
	return native(out), nil
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
