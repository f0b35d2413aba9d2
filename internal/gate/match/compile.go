package match

import (
	"sort"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Compile builds the table, or reports every route that cannot be chosen or that
// no rule tells from another.
func Compile(routes []model.Route) (*Table, model.Faults) {
	b := builder{table: &Table{exact: map[string]*site{}, wildcard: map[string]*site{}}}
	for i := range routes {
		b.route(i, &routes[i])
	}
	return b.table, b.faults
}

type builder struct {
	table  *Table
	faults model.Faults
}

func (b *builder) route(i int, r *model.Route) {
	at := "routes[" + strconv.Itoa(i) + "]"
	verbatim := r.Path == model.PathVerbatim
	base := entry{route: i, name: r.Name, methods: methodsOf(r.Methods), headers: headersOf(r.Headers), verbatim: verbatim}
	hosts := r.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for j, text := range r.Paths {
		p, fault := parsePattern(text, verbatim)
		if fault != "" {
			b.faults.Add(at+".paths["+strconv.Itoa(j)+"]", fault)
			continue
		}
		for k, h := range hosts {
			s := b.site(h)
			if s == nil {
				b.faults.Add(at+".hosts["+strconv.Itoa(k)+"]", "is not a host that a request can name")
				continue
			}
			s.add(&p, base)
		}
	}
}

func (s *site) add(p *pattern, e entry) {
	root := &s.canonical
	if e.verbatim {
		root = &s.verbatim
	}
	if *root == nil {
		*root = &node{}
	}
	e.re = p.re
	place := (*root).bucket(p)
	for i := range place.entries {
		if o := &place.entries[i]; o.route == e.route && (o.re == e.re || o.re != nil && o.re.String() == e.re.String()) {
			return // the route says the same path or host twice
		}
	}
	place.entries = append(place.entries, e)
	sort.SliceStable(place.entries, func(i, j int) bool {
		return len(place.entries[i].headers) > len(place.entries[j].headers)
	})
}

// site is the place of a host pattern; nil where no host is like it.
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
	if e != nil || name == "" {
		return nil
	}
	m, key, shown := t.exact, strings.Clone(name), strings.Clone(name)
	if wild {
		m, key, shown = t.wildcard, "."+name, "*."+name
	}
	if m[key] == nil {
		m[key] = &site{name: shown}
	}
	return m[key]
}

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

func headersOf(m map[string]string) []model.Field {
	list := make([]model.Field, 0, len(m))
	for name, value := range m {
		list = append(list, model.Field{Name: name, Value: value})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}
