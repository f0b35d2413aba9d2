package match

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// reach reports routes that can never be chosen: others, more specific, take every
// path that they fit.
func (b *builder) reach(routes []model.Route) {
	for start := 0; start < len(b.spots); {
		end := start + 1
		for end < len(b.spots) && b.spots[end].route == b.spots[start].route {
			end++
		}
		b.reachable(b.spots[start:end], routes)
		start = end
	}
}

func (b *builder) reachable(spots []spot, routes []model.Route) {
	var takers []string
	for i := range spots {
		alive, by := b.alive(&spots[i])
		if alive {
			return
		}
		takers = append(takers, by...)
	}
	s := &spots[0]
	at := "routes[" + strconv.Itoa(s.route) + "]"
	if len(takers) == 0 {
		b.faults.Add(at+".paths["+strconv.Itoa(s.path)+"]", `route "`+s.entry.name+`" can never be chosen: no path that arrives fits it (a canonical path has no //, no dot segments, no escaped letters, and escapes in upper case)`)
		return
	}
	slices.Sort(takers)
	takers = slices.Compact(takers)
	b.faults.Add(at, `route "`+s.entry.name+`" can never be chosen: `+strings.Join(takers, ", ")+` take every request that fits it`)
}

// alive says whether some request chooses the route at this spot; by names the
// routes that take all of them.
func (b *builder) alive(s *spot) (alive bool, by []string) {
	var probes []string
	switch s.place.kind {
	case exact:
		return true, nil // nothing is more specific; what is equal is a fault already
	case prefix:
		probes = []string{s.place.literal, strings.TrimSuffix(s.place.literal, "/") + "/~"}
	case expression:
		path, found, decided := witness([]*language{b.paths(s)}, nil, s.entry.verbatim)
		if !found {
			return !decided, nil
		}
		probes = []string{path}
	}
	for _, path := range probes {
		if s.chosen(path) {
			return true, nil
		}
	}
	rivals, names := b.rivals(s)
	_, found, decided := witness([]*language{b.paths(s)}, rivals, s.entry.verbatim)
	return found || !decided, names
}

func (b *builder) paths(s *spot) *language {
	return b.language(expressionFor(s.place.kind, s.place.literal, s.entry.re))
}

// chosen asks the table itself, for a request that has what the route wants.
func (s *spot) chosen(path string) bool {
	p := Path{Raw: path, Canonical: path}
	find := search{path: &p, matched: path, method: "GET", fields: s.entry.headers}
	if len(s.entry.methods) > 0 {
		find.method = s.entry.methods[0]
	}
	return find.at(s.place.site) && find.best != nil && find.best.route == s.route
}

// rivals are the paths that more specific routes take from every request of s.
func (b *builder) rivals(s *spot) (list []*language, names []string) {
	for i := range b.spots {
		r := &b.spots[i]
		if r.place.site != s.place.site || r.route == s.route || r.entry.verbatim != s.entry.verbatim ||
			!strings.HasPrefix(r.place.literal, s.place.literal) || !within(r.entry.headers, s.entry.headers) {
			continue
		}
		if r.place.degree() > s.place.degree() {
			list = append(list, b.paths(r))
			names = append(names, `"`+r.entry.name+`"`)
		}
	}
	return list, names
}

func (p *place) degree() int {
	for _, b := range p.buckets {
		if b != nil {
			return b.degree
		}
	}
	return 0
}
