package match

import (
	"sort"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Compile builds the table, or reports every route that can never be chosen or
// that no rule tells from another.
func Compile(routes []model.Route) (*Table, model.Faults) {
	b := builder{
		table:  &Table{exact: map[string]*site{}, wildcard: map[string]*site{}},
		places: map[placeKey]*place{},
		known:  map[string]*language{},
	}
	for i := range routes {
		b.route(i, &routes[i])
	}
	for _, p := range b.order {
		p.sort()
	}
	b.separate()
	b.reach(routes)
	return b.table, b.faults
}

type builder struct {
	table  *Table
	faults model.Faults
	places map[placeKey]*place
	order  []*place // in the order of the routes, so that faults come in one order
	spots  []spot
	known  map[string]*language
	asked  int // questions about two expressions
}

// spot is where one path of one route stands.
type spot struct {
	route int
	path  int // index in the route's paths
	place *place
	entry entry
}

// place are the routes of one host and one pattern, canonical and verbatim. The
// expressions of one literal start share a place.
type place struct {
	placeKey
	pattern pattern // its kind and literal hold for all
	buckets [2]*bucket
}

type placeKey struct {
	site    *site
	kind    kind
	literal string
}

// place gives the place of a pattern at a host, and makes it where there is none.
func (b *builder) place(s *site, p *pattern) *place {
	k := placeKey{s, p.kind, p.literal}
	if b.places[k] == nil {
		b.places[k] = &place{placeKey: k, pattern: *p}
		b.order = append(b.order, b.places[k])
	}
	return b.places[k]
}

func (p *place) add(e entry) bool {
	for _, o := range p.entries(e.verbatim) {
		if o.route == e.route && o.source() == e.source() {
			return false // the route says the same path or host twice
		}
	}
	which, root := 0, &p.site.canonical
	if e.verbatim {
		which, root = 1, &p.site.verbatim
	}
	if *root == nil {
		*root = &node{}
	}
	if p.buckets[which] == nil {
		p.buckets[which] = (*root).bucket(&p.pattern)
	}
	p.buckets[which].entries = append(p.buckets[which].entries, e)
	return true
}

func (p *place) entries(verbatim bool) []entry {
	b := p.buckets[0]
	if verbatim {
		b = p.buckets[1]
	}
	if b == nil {
		return nil
	}
	return b.entries
}

func (p *place) sort() {
	for _, b := range p.buckets {
		if b != nil {
			sort.SliceStable(b.entries, func(i, j int) bool { return len(b.entries[i].headers) > len(b.entries[j].headers) })
		}
	}
}

func (e *entry) source() string {
	if e.re == nil {
		return ""
	}
	return e.re.String()
}

func (b *builder) route(i int, r *model.Route) {
	at := "routes[" + strconv.Itoa(i) + "]"
	headers, fault := headersOf(r.Headers)
	if fault != "" {
		b.faults.Add(at+".headers", fault)
		return
	}
	base := entry{route: i, name: r.Name, methods: methodsOf(r.Methods), headers: headers, verbatim: r.Path == model.PathVerbatim}
	sites := b.sites(at, r.Hosts)
	for j, text := range r.Paths {
		p, fault := parsePattern(text, base.verbatim)
		if fault == "" && p.kind != expression && under(p.literal, ownPaths) {
			fault = "can never be chosen: paths under " + ownPaths + " are the gateway's own"
		}
		if fault != "" {
			b.faults.Add(at+".paths["+strconv.Itoa(j)+"]", fault)
			continue
		}
		e := base
		e.re = p.re
		for _, s := range sites {
			place := b.place(s, &p)
			if place.add(e) {
				b.spots = append(b.spots, spot{i, j, place, e})
			}
		}
	}
}

// ownPaths are taken by the gateway on every host before routes are looked at.
const ownPaths = "/.sallyport"

func (b *builder) sites(at string, hosts []string) (list []*site) {
	if len(hosts) == 0 {
		return append(list, b.site(""))
	}
	for k, h := range hosts {
		s := b.site(h)
		if s == nil {
			b.faults.Add(at+".hosts["+strconv.Itoa(k)+"]", "is not a host that a request can name")
			continue
		}
		list = append(list, s)
	}
	return list
}

// site is the place of a host pattern; nil where no request can name such a host.
func (b *builder) site(host string) *site {
	t := b.table
	if host == "" {
		if t.any == nil {
			t.any = &site{name: "any host"}
		}
		return t.any
	}
	name, wild := strings.CutPrefix(host, "*.")
	var buf hostBuffer
	name, e := normalHost(name, &buf)
	if e != nil || name == "" || wild && name[0] == '[' {
		return nil
	}
	m, key := t.exact, strings.Clone(name)
	if wild {
		m, key = t.wildcard, "."+name
	}
	if m[key] == nil {
		m[key] = &site{name: "host " + strings.ToLower(host)}
	}
	return m[key]
}

// methodsOf gives nil where every method is served.
func methodsOf(list []string) []string {
	for _, m := range list {
		if m == "*" {
			return nil
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

// headersOf orders a route's headers by name. Those that no request can have when
// routes are matched are a fault: the route would never be chosen.
func headersOf(m map[string]string) (list []model.Field, fault string) {
	for name, value := range m {
		switch {
		case model.EqualFold(name, "Host"):
			return nil, "names Host, which is matched by hosts"
		case model.HopByHop(name):
			return nil, "names " + name + ", which ends at the gateway and is removed before routes are matched"
		case !model.ValidFieldValue(value):
			return nil, "wants a value of " + name + " that no header can have"
		}
		list = append(list, model.Field{Name: name, Value: value})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	for i := range list {
		for _, f := range list[:i] {
			if model.EqualFold(f.Name, list[i].Name) {
				return nil, "names " + list[i].Name + " twice"
			}
		}
	}
	return list, ""
}
