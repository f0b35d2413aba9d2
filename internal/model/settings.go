package model

import (
	"net/url"
	"strings"
)

// Settings are the parts of the configuration of which there is one each.
type Settings struct {
	ReverseProxyAuthentication ReverseProxyAuthentication `json:"reverseProxyAuthentication"`
	IdentityHeaders            IdentityHeaders            `json:"identityHeaders"`
	Sessions                   Sessions                   `json:"sessions"`
	Pages                      Pages                      `json:"pages"`
}

// Defaults sets what a left-out field means.
func (s *Settings) Defaults() {
	s.ReverseProxyAuthentication.Defaults()
	s.IdentityHeaders.Defaults()
	s.Sessions.Defaults()
}

// SettingsPart is one part of the settings, of which each is kept by itself.
type SettingsPart struct {
	Name  string
	Value any // a pointer
}

// Parts are the settings' parts by their names.
func (s *Settings) Parts() []SettingsPart {
	return []SettingsPart{{"reverseProxyAuthentication", &s.ReverseProxyAuthentication}, {"identityHeaders", &s.IdentityHeaders},
		{"sessions", &s.Sessions}, {"pages", &s.Pages}}
}

// ReverseProxyAuthentication is the switch and the name under which the backend
// learns who called.
type ReverseProxyAuthentication struct {
	Enabled                bool    `json:"enabled"`
	UsernameHeader         string  `json:"usernameHeader"`
	CSRFProtectionDisabled bool    `json:"csrfProtectionDisabled"`
	LogoutURL              *string `json:"logoutUrl"`
}

// Defaults sets what a left-out field means: authentication is off, which closes
// every route that is not public.
func (r *ReverseProxyAuthentication) Defaults() {
	*r = ReverseProxyAuthentication{UsernameHeader: "X-User"}
}

// Validate reports what is wrong with the settings by themselves.
func (r *ReverseProxyAuthentication) Validate(path string) (f Faults) {
	if msg := OwnHeaderFault(r.UsernameHeader); msg != "" {
		f.Add(join(path, "usernameHeader"), msg)
	}
	if r.LogoutURL != nil && !validLogout(*r.LogoutURL) {
		f.Add(join(path, "logoutUrl"), "is an absolute https URL (http on loopback), a local path, or null")
	}
	return f
}

func validLogout(s string) bool {
	if !plainTarget(s) || strings.ContainsAny(s, `\`) {
		return false
	}
	if strings.HasPrefix(s, "/") {
		return !strings.HasPrefix(s, "//")
	}
	u, err := url.Parse(s)
	return err == nil && u.User == nil && SecureURL(u)
}

// IdentityHeaders are the names of the other headers that tell the backend who
// called; "" = not sent.
type IdentityHeaders struct {
	ID        string   `json:"id"`
	Email     string   `json:"email"`
	Groups    string   `json:"groups"`
	Roles     string   `json:"roles"`
	Method    string   `json:"method"`
	Client    string   `json:"client"`
	Assertion string   `json:"assertion"`
	AlsoStrip []string `json:"alsoStrip"`
}

// Defaults sets what a left-out field means.
func (h *IdentityHeaders) Defaults() {
	*h = IdentityHeaders{ID: "X-User-Id", Email: "X-User-Email", Groups: "X-User-Groups", Roles: "X-User-Roles",
		Method: "X-Auth-Method", Client: "X-Client-Id", Assertion: "X-Sallyport-Assertion"}
}

// Named are the configured names with the field that configures each; the ones
// that are switched off are left out.
func (s *Settings) Named() []NamedHeader {
	h := &s.IdentityHeaders
	all := []NamedHeader{
		{"reverseProxyAuthentication.usernameHeader", s.ReverseProxyAuthentication.UsernameHeader},
		{"identityHeaders.id", h.ID}, {"identityHeaders.email", h.Email}, {"identityHeaders.groups", h.Groups},
		{"identityHeaders.roles", h.Roles}, {"identityHeaders.method", h.Method},
		{"identityHeaders.client", h.Client}, {"identityHeaders.assertion", h.Assertion},
	}
	out := all[:0]
	for _, n := range all {
		if n.Header != "" {
			out = append(out, n)
		}
	}
	return out
}

// NamedHeader is a header name and the setting that names it.
type NamedHeader struct{ Setting, Header string }

// Validate reports what is wrong with the settings, names that collide included.
func (s *Settings) Validate(path string) (f Faults) {
	f = append(f, s.ReverseProxyAuthentication.Validate(join(path, "reverseProxyAuthentication"))...)
	f = append(f, s.Sessions.Validate(join(path, "sessions"))...)
	f = append(f, s.Pages.Validate(join(path, "pages"))...)
	seen := map[string]string{}
	for _, n := range s.Named() {
		if !strings.HasPrefix(n.Setting, "reverse") {
			if msg := OwnHeaderFault(n.Header); msg != "" {
				f.Add(join(path, n.Setting), msg)
			}
		}
		folded := Fold(n.Header)
		if other, ok := seen[folded]; ok {
			f.Add(join(path, n.Setting), "is the same header as "+other+", once case and punctuation are dropped")
		}
		seen[folded] = n.Setting
	}
	for i, n := range s.IdentityHeaders.AlsoStrip {
		at := index(join(path, "identityHeaders.alsoStrip"), i)
		folded := Fold(n)
		switch {
		case !ValidToken(n) || folded == "":
			f.Add(at, "is not a header name (RFC 9110, 5.1)")
		case hopByHop[folded] || framing[folded]:
			f.Add(at, "is a framing or hop-by-hop header, which cannot be stripped")
		}
	}
	return f
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}
