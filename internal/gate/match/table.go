package match

import (
	"regexp"
	"sort"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Table finds the route of a request. It is immutable and safe for concurrent use.
type Table struct {
	exact    map[string]*site
	wildcard map[string]*site // by suffix, with its leading dot
	any      *site
}

// site are the routes of one host pattern.
type site struct {
	name      string // as faults give it
	canonical *node
	verbatim  *node // nil = none
}

// entry is one route at one host and path.
type entry struct {
	route    int
	name     string
	methods  []string // nil = any
	headers  []model.Field
	re       *regexp.Regexp
	verbatim bool
}

// Find gives the index of the route that serves the request, as Compile was given
// it. It allocates only to refuse. allow is set with method_not_allowed.
func (t *Table) Find(host string, p *Path, method string, fields []model.Field) (route int, allow []string, err *model.Error) {
	var buf hostBuffer
	// A variable of its own: what net/netip may keep of host must not be buf's.
	name, err := normalHost(host, &buf)
	if err != nil {
		return -1, nil, err
	}
	if p.Raw == "*" {
		return -1, nil, t.asterisk(method)
	}
	s := search{path: p, matched: p.matched(), method: method, fields: fields}
	if !t.search(name, &s) {
		if p.Ambiguous {
			return -1, nil, ambiguous("The path holds an encoded slash, or a parameter in a segment with dots, and no route takes it as it is.")
		}
		return -1, nil, model.NewError(model.RouteNotFound, "No route leads from this host and path.")
	}
	if e := s.verdict(); e != nil {
		return -1, e.Allow, e
	}
	if p.parameters && !s.best.verbatim && t.parametersMatter(name, &s) {
		return -1, nil, ambiguous("The path has parameters, and without them another route would serve it.")
	}
	return s.best.route, nil, nil
}

// asterisk answers the one target that is no path (RFC 9110, 9.3.7): it asks of
// the gateway, whose methods depend on the path.
func (t *Table) asterisk(method string) *model.Error {
	if method != "OPTIONS" {
		return malformed("The target * goes with OPTIONS only.")
	}
	return model.NewError(model.RouteNotFound, "No route leads from the target *.")
}

// parametersMatter says whether another route would be chosen if the path had no
// parameters. Servlet containers drop them before they look at a path, so that
// "/admin;x=1", which is not under "/admin" by its segments, arrives there all the
// same (CVE-2026-73553).
func (t *Table) parametersMatter(host string, s *search) bool {
	bare := *s
	bare.matched, bare.found, bare.best, bare.first = withoutParameters(s.matched), false, nil, nil
	return t.search(host, &bare) && (bare.best == nil || bare.best.route != s.best.route)
}

// search runs from the most to the least specific host and stops at the first
// that has a route for the path.
func (t *Table) search(host string, s *search) bool {
	if w := t.exact[host]; w != nil && s.at(w) {
		return true
	}
	if len(t.wildcard) > 0 {
		// The suffix begins at a dot, and something stands before it:
		// evilexample.com is not under example.com (CVE-2021-21291).
		for i := strings.IndexByte(host, '.'); i >= 0; {
			if i > 0 {
				if w := t.wildcard[host[i:]]; w != nil && s.at(w) {
					return true
				}
			}
			n := strings.IndexByte(host[i+1:], '.')
			if n < 0 {
				break
			}
			i += 1 + n
		}
	}
	return t.any != nil && s.at(t.any)
}

// search is one look-up: what is asked, and the best found so far among routes of
// one host and one degree of path.
type search struct {
	path    *Path
	matched string
	method  string
	fields  []model.Field

	tried [2]*bucket // of the degree being looked at: verbatim, canonical
	found bool       // a route matches host, path and headers
	count int        // of matching headers
	best  *entry     // serves the method, too
	first *entry
}

// at looks through the host's paths from the most specific on.
func (s *search) at(w *site) bool {
	c, v := cursorAt(w.canonical, s.matched), cursorAt(w.verbatim, s.path.Raw)
	cb, vb := c.next(), v.next()
	for cb != nil || vb != nil {
		switch {
		case vb == nil || cb != nil && cb.degree > vb.degree:
			s.tried = [2]*bucket{nil, cb}
			cb = c.next()
		case cb == nil || vb.degree > cb.degree:
			s.tried = [2]*bucket{vb, nil}
			vb = v.next()
		default:
			s.tried = [2]*bucket{vb, cb}
			cb, vb = c.next(), v.next()
		}
		if s.consider(); s.found {
			return true
		}
	}
	return false
}

// consider picks among the routes of one degree: by the number of headers, then
// by method. On a tie that only one request's spelling brings about, verbatim wins.
func (s *search) consider() {
	for _, b := range s.tried {
		if b == nil {
			continue
		}
		for i := range b.entries {
			e := &b.entries[i]
			if s.found && len(e.headers) < s.count {
				break // the entries are in order of their number of headers
			}
			if e.re != nil && !e.re.MatchString(s.text(e)) || !headersMatch(e.headers, s.fields) {
				continue
			}
			if !s.found || len(e.headers) > s.count {
				s.found, s.count, s.best, s.first = true, len(e.headers), nil, e
			}
			if s.best == nil && serves(e.methods, s.method) {
				s.best = e
			}
		}
	}
}

func (s *search) text(e *entry) string {
	if e.verbatim {
		return s.path.Raw
	}
	return s.matched
}

// verdict refuses what was found where the path is ambiguous there, or the method
// not served.
func (s *search) verdict() *model.Error {
	e := s.best
	if e == nil {
		e = s.first
	}
	switch {
	case e.verbatim && s.path.dots:
		return ambiguous("The path holds a dot segment, and the route forwards it as it is.")
	case !e.verbatim && s.path.Ambiguous:
		return ambiguous("The path holds an encoded slash, or a parameter in a segment with dots.")
	case s.best != nil:
		return nil
	}
	refusal := model.NewError(model.MethodNotAllowed, "This path does not serve the method.")
	refusal.Allow = s.allow()
	return refusal
}

// allow lists the methods of the routes that are equal but for the method.
func (s *search) allow() (list []string) {
	seen := map[string]bool{}
	for _, b := range s.tried {
		if b == nil {
			continue
		}
		for i := range b.entries {
			e := &b.entries[i]
			if len(e.headers) != s.count || e.re != nil && !e.re.MatchString(s.text(e)) || !headersMatch(e.headers, s.fields) {
				continue
			}
			for _, m := range e.methods {
				seen[m] = true
				if m == "GET" {
					seen["HEAD"] = true
				}
			}
		}
	}
	for m := range seen {
		list = append(list, m)
	}
	sort.Strings(list)
	return list
}

func serves(methods []string, method string) bool {
	if methods == nil {
		return true
	}
	for _, m := range methods {
		if m == method || m == "GET" && method == "HEAD" {
			return true
		}
	}
	return false
}

// headersMatch compares the value of each wanted header, its lines joined as RFC
// 9110, 5.3, joins them, so that a second line cannot make two routes fit.
func headersMatch(want, fields []model.Field) bool {
	for i := range want {
		rest, lines := want[i].Value, 0
		for j := range fields {
			f := &fields[j]
			if f.Dropped || !model.EqualFold(f.Name, want[i].Name) {
				continue
			}
			if lines++; lines > 1 {
				var ok bool
				if rest, ok = strings.CutPrefix(rest, ", "); !ok {
					return false
				}
			}
			var ok bool
			if rest, ok = strings.CutPrefix(rest, f.Value); !ok {
				return false
			}
		}
		if lines == 0 || rest != "" {
			return false
		}
	}
	return true
}
