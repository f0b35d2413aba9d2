package model

// Set is one whole configuration, users apart: what is compiled into a plan,
// saved as the last-good snapshot and numbered as a revision. It is never
// changed once it is published.
type Set struct {
	Revision          int64              `json:"revision"`
	Settings          Settings           `json:"settings"`
	Services          []Service          `json:"services"`
	Routes            []Route            `json:"routes"`
	Roles             []Role             `json:"roles"`
	Groups            []Group            `json:"groups"`
	IdentityProviders []IdentityProvider `json:"identityProviders"`
	Expect            []Expectation      `json:"expect"`
}

// NewSet is the empty configuration: authentication off, nothing routed.
func NewSet() *Set {
	s := &Set{}
	s.Settings.Defaults()
	return s
}

// Document is a declarative file: the same shapes with users, every part optional.
// A part that is left out says nothing; an empty list says that there is none.
type Document struct {
	Settings          *DocumentSettings  `json:"settings,omitzero"`
	Services          []Service          `json:"services,omitzero"`
	Routes            []Route            `json:"routes,omitzero"`
	Roles             []Role             `json:"roles,omitzero"`
	Groups            []Group            `json:"groups,omitzero"`
	Users             []User             `json:"users,omitzero"`
	IdentityProviders []IdentityProvider `json:"identityProviders,omitzero"`
	Expect            []Expectation      `json:"expect,omitzero"`
}

// DocumentSettings replaces each part of the settings that it names.
type DocumentSettings struct {
	ReverseProxyAuthentication *ReverseProxyAuthentication `json:"reverseProxyAuthentication,omitempty"`
	IdentityHeaders            *IdentityHeaders            `json:"identityHeaders,omitempty"`
	Sessions                   *Sessions                   `json:"sessions,omitempty"`
	Pages                      *Pages                      `json:"pages,omitempty"`
}

// Parts are the parts that the document names.
func (d *DocumentSettings) Parts() (list []SettingsPart) {
	if d == nil {
		return nil
	}
	if d.ReverseProxyAuthentication != nil {
		list = append(list, SettingsPart{"reverseProxyAuthentication", d.ReverseProxyAuthentication})
	}
	if d.IdentityHeaders != nil {
		list = append(list, SettingsPart{"identityHeaders", d.IdentityHeaders})
	}
	if d.Sessions != nil {
		list = append(list, SettingsPart{"sessions", d.Sessions})
	}
	if d.Pages != nil {
		list = append(list, SettingsPart{"pages", d.Pages})
	}
	return list
}

// Over lays the parts that the document names over the settings.
func (d *DocumentSettings) Over(s *Settings) {
	for _, p := range d.Parts() {
		switch v := p.Value.(type) {
		case *ReverseProxyAuthentication:
			s.ReverseProxyAuthentication = *v
		case *IdentityHeaders:
			s.IdentityHeaders = *v
		case *Sessions:
			s.Sessions = *v
		case *Pages:
			s.Pages = *v
		}
	}
}

// Take takes over a part of another document.
func (d *DocumentSettings) Take(p SettingsPart) {
	switch v := p.Value.(type) {
	case *ReverseProxyAuthentication:
		d.ReverseProxyAuthentication = v
	case *IdentityHeaders:
		d.IdentityHeaders = v
	case *Sessions:
		d.Sessions = v
	case *Pages:
		d.Pages = v
	}
}

// Expectation is a policy test: what the gateway must answer.
type Expectation struct {
	As      string `json:"as,omitempty"` // username; "" = nobody
	Request string `json:"request"`      // "POST /1.0/orders", or with an absolute URL
	Then    Code   `json:"then"`         // a code, or allowed
}

// Validate reports what is wrong with the set: each object by itself, names that
// are taken twice, and references that lead nowhere. Shadowed routes and
// conditions that do not compile are the plan's to find.
func (s *Set) Validate() (f Faults) {
	f = append(f, s.Settings.Validate("settings")...)
	services := names(&f, "services", s.Services, func(v *Service) string { return v.Name }, (*Service).Validate)
	names(&f, "routes", s.Routes, func(v *Route) string { return v.Name }, (*Route).Validate)
	roles := names(&f, "roles", s.Roles, func(v *Role) string { return v.Name }, (*Role).Validate)
	names(&f, "groups", s.Groups, func(v *Group) string { return v.Name }, (*Group).Validate)
	providers := names(&f, "identityProviders", s.IdentityProviders, func(v *IdentityProvider) string { return v.Name }, (*IdentityProvider).Validate)
	for i := range s.Routes {
		r, at := &s.Routes[i], index("routes", i)
		if r.Service != "" && !services[r.Service] {
			f.Add(at+".service", "names "+quote(r.Service)+", which is not a service; create it first or mend the name")
		}
		if r.Authenticate != nil {
			r.Authenticate.Leaves(func(l *Requirement) {
				if l.Provider != "" && !providers[l.Provider] {
					f.Add(at+".authenticate", "names "+quote(l.Provider)+", which is not an identity provider")
				}
			})
		}
	}
	for i := range s.Groups {
		for j, r := range s.Groups[i].Roles {
			if !roles[r] {
				f.Add(index(index("groups", i)+".roles", j), "names "+quote(r)+", which is not a role")
			}
		}
	}
	for i := range s.IdentityProviders {
		for j, r := range s.IdentityProviders[i].Roles {
			if !roles[r] {
				f.Add(index(index("identityProviders", i)+".roles", j), "names "+quote(r)+", which is not a role")
			}
		}
	}
	for i, e := range s.Expect {
		if !e.Then.Valid() {
			f.Add(index("expect", i)+".then", "is a code of the gateway's answers, or allowed")
		}
	}
	return f
}

func names[T any](f *Faults, path string, list []T, name func(*T) string, validate func(*T, string) Faults) map[string]bool {
	seen := make(map[string]bool, len(list))
	for i := range list {
		at := index(path, i)
		*f = append(*f, validate(&list[i], at)...)
		n := name(&list[i])
		if seen[n] && n != "" {
			f.Add(at+".name", quote(n)+" is taken already")
		}
		seen[n] = true
	}
	return seen
}

func quote(s string) string { return `"` + s + `"` }
