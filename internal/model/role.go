package model

// Role is a list of permissions.
type Role struct {
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Permissions []Permission `json:"permissions"`
}

// Permission allows requests whose route, method and path match, if When holds.
type Permission struct {
	Routes  []string `json:"routes"`          // route names; * stands for any run of characters
	Methods []string `json:"methods"`         // * = any; GET includes HEAD
	Paths   []string `json:"paths,omitempty"` // patterns as in routes; empty = all of the route's
	When    string   `json:"when,omitempty"`  // CEL
}

// Validate reports what is wrong with the role by itself.
func (r *Role) Validate(path string) (f Faults) {
	if !ValidName(r.Name) {
		f.Add(path+".name", NameFault)
	}
	for i, p := range r.Permissions {
		at := index(path+".permissions", i)
		if len(p.Routes) == 0 {
			f.Add(at+".routes", `is missing; name routes, or write ["*"]`)
		}
		if len(p.Methods) == 0 {
			f.Add(at+".methods", `is missing; name methods, or write ["*"]`)
		}
		for j, n := range p.Routes {
			if !validNamePattern(n) {
				f.Add(index(at+".routes", j), "is a route name in which * stands for any characters")
			}
		}
		for j, m := range p.Methods {
			if m != "*" && !ValidToken(m) {
				f.Add(index(at+".methods", j), "is not an HTTP method")
			}
		}
		for j, pp := range p.Paths {
			if msg := PathPatternFault(pp); msg != "" {
				f.Add(index(at+".paths", j), msg)
			}
		}
	}
	return f
}

func validNamePattern(s string) bool {
	b := []byte(s)
	for i, c := range b {
		if c == '*' {
			b[i] = 'x'
		}
	}
	return ValidName(string(b))
}

// MatchName says whether name fits a pattern in which * stands for any run of characters.
func MatchName(pattern, name string) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
