package match

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Disguise is a request that one route takes from another by an encoded slash or a
// parameter alone: a backend that decodes the one, or drops the other, serves what
// the other route guards.
type Disguise struct {
	Taker, Taken int // indexes of routes
	Method       string
	Path         string // as sent, and forwarded
	Plain        string // as such a backend reads it
}

// mostAsked bounds the requests that Disguises tries.
const mostAsked = 1_000_000

// Disguises finds requests that routes with path: verbatim for which open says so
// take from routes for which it does not: one example for each pair. It asks the
// table itself, for a path of each route in several spellings.
func (t *Table) Disguises(routes []model.Route, open func(*model.Route) bool) (list []Disguise) {
	d := disguises{table: t, routes: routes, open: open, headers: [][]model.Field{nil}}
	for i := range routes {
		if r := &routes[i]; d.takes(i) {
			d.hosts = append(d.hosts, r.Hosts...)
			if h, _ := headersOf(r.Headers); len(h) > 0 {
				d.headers = append(d.headers, h)
			}
		}
		d.some = d.some || d.takes(i)
	}
	for i := 0; d.some && i < len(routes); i++ {
		if !open(&routes[i]) {
			d.of(i)
		}
	}
	return d.found
}

type disguises struct {
	table   *Table
	routes  []model.Route
	open    func(*model.Route) bool
	some    bool
	hosts   []string        // of the routes that could take
	headers [][]model.Field // that they ask for
	asked   int
	found   []Disguise
}

func (d *disguises) takes(i int) bool {
	return i >= 0 && d.routes[i].Path == model.PathVerbatim && d.open(&d.routes[i])
}

// of tries every request that could be one of the route's in disguise.
func (d *disguises) of(i int) {
	r := &d.routes[i]
	own, _ := headersOf(r.Headers)
	methods := methodsOf(r.Methods)
	if methods == nil {
		methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	}
	for _, host := range sampleHosts(r.Hosts, d.hosts) {
		for _, h := range d.headers {
			fields := slices.Concat(own, slices.DeleteFunc(slices.Clone(h), func(f model.Field) bool {
				return slices.ContainsFunc(own, func(o model.Field) bool { return model.EqualFold(o.Name, f.Name) })
			}))
			for _, pattern := range r.Paths {
				for _, s := range spellings(pattern, r.Path == model.PathVerbatim) {
					for _, method := range methods {
						s.Taken, s.Method = i, method
						d.try(s, host, fields)
					}
				}
			}
		}
	}
}

func (d *disguises) try(s Disguise, host string, fields []model.Field) {
	if d.asked++; d.asked > mostAsked {
		return
	}
	s.Taker = d.table.serving(host, s.Method, s.Path, fields)
	known := func(k Disguise) bool { return k.Taker == s.Taker && k.Taken == s.Taken }
	if d.takes(s.Taker) && !slices.ContainsFunc(d.found, known) && d.table.serving(host, s.Method, s.Plain, fields) == s.Taken {
		d.found = append(d.found, s)
	}
}

// serving is the route that serves a request; -1 where none does.
func (t *Table) serving(host, method, path string, fields []model.Field) int {
	p, err := ParseTarget(path, nil)
	if err != nil {
		return -1
	}
	route, _, err := t.Find(host, &p, method, fields)
	if err != nil {
		return -1
	}
	return route
}

// sampleHosts are names that the patterns match, and one that none of them does.
func sampleHosts(lists ...[]string) []string {
	out := []string{"any.invalid"}
	for _, h := range slices.Concat(lists...) {
		out = append(out, strings.Replace(h, "*", "any", 1))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// spellings are ways to write a path that fits the pattern: each slash but the first
// encoded, one behind it, and a parameter.
func spellings(pattern string, verbatim bool) (list []Disguise) {
	p, fault := parsePattern(pattern, verbatim)
	if fault != "" {
		return nil
	}
	plain := p.literal
	if p.kind == expression {
		found := false
		if plain, found, _ = witness([]*language{languageOf(p.re.String())}, nil, verbatim); !found {
			return nil
		}
	}
	for i := 1; i < len(plain); i++ {
		if plain[i] == '/' {
			list = append(list, Disguise{Path: plain[:i] + "%2F" + plain[i+1:], Plain: plain})
		}
	}
	if plain = strings.TrimSuffix(plain, "/"); p.kind == prefix && plain != "" {
		list = append(list, Disguise{Path: plain + "%2Fx", Plain: plain + "/x"}, Disguise{Path: plain + ";x/x", Plain: plain + "/x"})
	}
	return list
}
