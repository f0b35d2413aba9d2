package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Route leads host, path, method and headers to a service, with what it demands
// of a caller.
type Route struct {
	Name         string            `json:"name"`
	Hosts        []string          `json:"hosts"`
	Paths        []string          `json:"paths"`
	Path         PathMode          `json:"path"`
	Methods      []string          `json:"methods"`
	Headers      map[string]string `json:"headers"`
	Service      string            `json:"service"`
	Rewrite      Rewrite           `json:"rewrite"`
	Edit         Edit              `json:"edit"`
	Authenticate *Requirement      `json:"authenticate,omitempty"` // nil = every configured method
	Access       Access            `json:"access"`
	Rules        []Rule            `json:"rules"`
	CORS         *CORS             `json:"cors,omitempty"`
	BodyBytes    *Size             `json:"bodyBytes,omitempty"` // nil = limits.bodyBytes; 0 = no limit
	Mode         Mode              `json:"mode"`
}

// PathMode says which form of the path is matched and forwarded.
type PathMode string

// The path modes.
const (
	PathCanonical PathMode = "canonical"
	PathVerbatim  PathMode = "verbatim"
)

// Access says whom a route lets in.
type Access string

// The access modes. Only the word "public" opens a door to nobody in particular.
const (
	AccessPermitted     Access = "permitted"     // a role must allow it
	AccessAuthenticated Access = "authenticated" // any active user
	AccessOptional      Access = "optional"      // nobody, or an active user
	AccessPublic        Access = "public"
)

// Mode says whether a refusal is enforced or only recorded.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Report  Mode = "report"
)

// Rewrite changes the path on its way to the service.
type Rewrite struct {
	StripPrefix string `json:"stripPrefix"`
	AddPrefix   string `json:"addPrefix"`
}

// Edit changes headers on the way in and out; never an identity header.
type Edit struct {
	Request  HeaderEdit `json:"request"`
	Response HeaderEdit `json:"response"`
}

// HeaderEdit sets and removes headers by name.
type HeaderEdit struct {
	Set    map[string]string `json:"set"`
	Remove []string          `json:"remove"`
}

// Rule takes away: exactly one of Require and Deny is a CEL condition.
type Rule struct {
	Name    string `json:"name"`
	Require string `json:"require,omitempty"`
	Deny    string `json:"deny,omitempty"`
}

// CORS is what preflights and cross-origin answers are made from.
type CORS struct {
	Origins     []string `json:"origins"`
	Methods     []string `json:"methods"`
	Headers     []string `json:"headers"`
	Credentials bool     `json:"credentials"`
	MaxAge      Duration `json:"maxAge"`
}

// Defaults sets what a left-out field means.
func (c *CORS) Defaults() { c.MaxAge = Duration(10 * time.Minute) }

// Defaults sets what a left-out field means.
func (r *Route) Defaults() {
	r.Path, r.Access, r.Mode = PathCanonical, AccessPermitted, Enforce
}

// The names of the methods of authentication.
const (
	MethodBasic         = "basic"
	MethodAPIKey        = "apiKey"
	MethodBearer        = "bearer"
	MethodMTLS          = "mtls"
	MethodTrustedHeader = "trustedHeader"
	MethodSession       = "session"
	MethodSignature     = "signature"
)

// Methods are all the methods of authentication there are, in the order in which
// they are tried.
var methodNames = []string{MethodMTLS, MethodTrustedHeader, MethodBearer, MethodAPIKey, MethodSignature, MethodBasic, MethodSession}

// KnownMethod says whether name is a method of authentication.
func KnownMethod(name string) bool {
	for _, m := range methodNames {
		if m == name {
			return true
		}
	}
	return false
}

// Requirement is a node of what a route accepts: a method, at a provider if one
// is named, or any or all of others.
type Requirement struct {
	Method   string
	Provider string
	AnyOf    []Requirement
	AllOf    []Requirement
}

type requirementObject struct {
	AnyOf []Requirement `json:"anyOf,omitempty"`
	AllOf []Requirement `json:"allOf,omitempty"`
}

// MarshalJSON writes a method as "method" or "method@provider", else an object.
func (r Requirement) MarshalJSON() ([]byte, error) {
	if r.Method != "" {
		s := r.Method
		if r.Provider != "" {
			s += "@" + r.Provider
		}
		return json.Marshal(s)
	}
	return json.Marshal(requirementObject{r.AnyOf, r.AllOf})
}

// UnmarshalJSON reads what MarshalJSON writes, and nothing else.
func (r *Requirement) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		r.Method, r.Provider, _ = strings.Cut(s, "@")
		if !KnownMethod(r.Method) {
			return fmt.Errorf("%q is not a method; write one of %s", r.Method, strings.Join(methodNames, ", "))
		}
		if strings.HasSuffix(s, "@") {
			return fmt.Errorf("%q names no provider after the @", s)
		}
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	var o requirementObject
	if err := d.Decode(&o); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if (len(o.AnyOf) == 0) == (len(o.AllOf) == 0) {
		return errors.New("holds exactly one of anyOf and allOf, with at least one method")
	}
	r.AnyOf, r.AllOf = o.AnyOf, o.AllOf
	return nil
}

// Leaves visits every method of the requirement in order.
func (r *Requirement) Leaves(visit func(leaf *Requirement)) {
	if r.Method != "" {
		visit(r)
		return
	}
	for i := range r.AnyOf {
		r.AnyOf[i].Leaves(visit)
	}
	for i := range r.AllOf {
		r.AllOf[i].Leaves(visit)
	}
}

// Validate reports what is wrong with the route by itself; what needs the whole
// set (its service, shadowing) is checked there.
func (r *Route) Validate(path string) (f Faults) {
	if !ValidName(r.Name) {
		f.Add(path+".name", NameFault)
	}
	for i, h := range r.Hosts {
		if !validHostPattern(h) {
			f.Add(index(path+".hosts", i), "is a host name, or *. and a host name, without port")
		}
	}
	if len(r.Paths) == 0 {
		f.Add(path+".paths", `is empty; write ["/"] for every path`)
	}
	for i, p := range r.Paths {
		if msg := PathPatternFault(p); msg != "" {
			f.Add(index(path+".paths", i), msg)
		}
	}
	for i, m := range r.Methods {
		if m != "*" && !ValidToken(m) {
			f.Add(index(path+".methods", i), "is not an HTTP method")
		}
	}
	for h := range r.Headers {
		if !ValidToken(h) {
			f.Add(path+".headers", fmt.Sprintf("%q is not a header name", h))
		}
	}
	if r.Service == "" {
		f.Add(path+".service", "is missing")
	}
	oneOf(&f, path+".path", r.Path, PathCanonical, PathVerbatim)
	oneOf(&f, path+".access", r.Access, AccessPermitted, AccessAuthenticated, AccessOptional, AccessPublic)
	oneOf(&f, path+".mode", r.Mode, Enforce, Report)
	for _, p := range []struct{ name, v string }{{"stripPrefix", r.Rewrite.StripPrefix}, {"addPrefix", r.Rewrite.AddPrefix}} {
		if p.v != "" && (p.v[0] != '/' || !plainTarget(p.v) || strings.ContainsAny(p.v, "?#%\\;") || strings.Contains(p.v, "//") || hasDotSegment(p.v)) {
			f.Add(path+".rewrite."+p.name, "is a plain path that starts with /")
		}
	}
	for i, rule := range r.Rules {
		p := index(path+".rules", i)
		if !ValidName(rule.Name) {
			f.Add(p+".name", NameFault)
		}
		if (rule.Require == "") == (rule.Deny == "") {
			f.Add(p, "holds exactly one of require and deny")
		}
	}
	if r.Authenticate != nil && r.Access == AccessPublic {
		f.Add(path+".authenticate", "contradicts access: public; take one of them away")
	}
	f = append(f, r.Edit.validate(path+".edit")...)
	if r.CORS != nil {
		f = append(f, r.CORS.validate(path+".cors")...)
	}
	return f
}

func (c *CORS) validate(path string) (f Faults) {
	for i, o := range c.Origins {
		if o == "*" {
			if c.Credentials {
				f.Add(index(path+".origins", i), `"*" contradicts credentials: true; name the origins`)
			}
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			f.Add(index(path+".origins", i), "is an origin such as https://app.example.com, or *")
		}
	}
	for i, m := range c.Methods {
		if m != "*" && !ValidToken(m) {
			f.Add(index(path+".methods", i), "is not an HTTP method")
		}
	}
	for i, h := range c.Headers {
		if h != "*" && !ValidToken(h) {
			f.Add(index(path+".headers", i), "is not a header name")
		}
	}
	return f
}

func (e *Edit) validate(path string) (f Faults) {
	for _, side := range []struct {
		name string
		e    *HeaderEdit
	}{{".request", &e.Request}, {".response", &e.Response}} {
		for h, v := range side.e.Set {
			if msg := EditableHeaderFault(h); msg != "" {
				f.Add(path+side.name+".set."+h, msg)
			}
			if !ValidFieldValue(v) {
				f.Add(path+side.name+".set."+h, "has control characters or outer white space")
			}
		}
		for i, h := range side.e.Remove {
			if msg := EditableHeaderFault(h); msg != "" {
				f.Add(index(path+side.name+".remove", i), msg)
			}
		}
	}
	return f
}

func validHostPattern(h string) bool {
	rest := strings.TrimPrefix(h, "*.")
	if rest == "" || len(rest) > 253 || strings.HasSuffix(rest, ".") {
		return false
	}
	if strings.HasPrefix(rest, "[") { // an IPv6 literal
		return strings.HasSuffix(rest, "]") && rest == h
	}
	for _, l := range strings.Split(rest, ".") {
		if l == "" || len(l) > 63 || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// PathPatternFault says what is wrong with a path pattern: a prefix "/x", an
// exact path "=/x", or an anchored regular expression "~^/x$". "" = nothing.
func PathPatternFault(p string) string {
	switch {
	case strings.HasPrefix(p, "~"):
		re := p[1:]
		if !strings.HasPrefix(re, "^/") || !strings.HasSuffix(re, "$") {
			return "is a regular expression that is not anchored; write ~^/…$"
		}
		if _, err := regexp.Compile(re); err != nil {
			return "is not a regular expression: " + err.Error()
		}
		return ""
	case strings.HasPrefix(p, "="):
		p = p[1:]
	}
	if p == "" || p[0] != '/' || !plainTarget(p) || strings.ContainsAny(p, "?#\\") {
		return "is a path that starts with /, without query or fragment and percent-encoded where it is not ASCII; =/x is exact, ~^/x$ a regular expression"
	}
	if hasDotSegment(p) || strings.Contains(p, "//") {
		return "has empty or dot segments, which no canonical path has"
	}
	return ""
}

func hasDotSegment(p string) bool {
	for _, s := range strings.Split(p, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}
