package match

import (
	"sort"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// separate reports routes that no rule tells apart: some request fits both, on one
// host, at one degree of path, with as many headers, under one method.
func (b *builder) separate() {
	told := map[[2]int]bool{}
	for _, p := range b.order {
		all := append(append([]entry(nil), p.entries(false)...), p.entries(true)...)
		sort.SliceStable(all, func(i, j int) bool { return all[i].route < all[j].route })
		for j := range all {
			for i := range all[:j] {
				x, y := &all[i], &all[j]
				if x.route == y.route || told[[2]int{x.route, y.route}] || b.separated(p, x, y, all) {
					continue
				}
				told[[2]int{x.route, y.route}] = true
				b.faults.Add("routes["+strconv.Itoa(y.route)+"]", p.tie(x, y))
				break
			}
		}
	}
}

func (p *place) tie(x, y *entry) string {
	what := p.literal
	if p.kind == expression {
		what = "expressions that start with " + p.literal
	}
	return `routes "` + x.name + `" and "` + y.name + `" both take ` + shared(x.methods, y.methods) + " on " + p.site.name + " at " + what +
		", and no rule separates them; give one a more specific path, a header, or other methods"
}

// shared names what two routes serve both.
func shared(x, y []string) string {
	if x == nil {
		x = y
	}
	if x == nil {
		return "every method"
	}
	list := []string{}
	for _, m := range x {
		if serves(y, m) {
			list = append(list, m)
		}
	}
	if len(list) == 0 { // HEAD here and GET there
		list = append(list, "HEAD")
	}
	return strings.Join(list, ", ")
}

func (b *builder) separated(p *place, x, y *entry, all []entry) bool {
	return len(x.headers) != len(y.headers) || !meet(x.methods, y.methods) || contradict(x.headers, y.headers) ||
		covered(x, y, all) || p.kind == expression && !b.overlap(x, y)
}

// meet says whether some method is served by both.
func meet(x, y []string) bool {
	if x == nil || y == nil {
		return true
	}
	for _, m := range x {
		if serves(y, m) {
			return true
		}
	}
	for _, m := range y {
		if serves(x, m) {
			return true
		}
	}
	return false
}

// contradict says that no request has the headers of both.
func contradict(x, y []model.Field) bool {
	for _, f := range x {
		for _, g := range y {
			if model.EqualFold(f.Name, g.Name) && f.Value != g.Value {
				return true
			}
		}
	}
	return false
}

// covered says that a third route, with more headers than either, takes every
// request that fits both.
func covered(x, y *entry, all []entry) bool {
	for i := range all {
		z := &all[i]
		if len(z.headers) <= len(x.headers) || z.re != nil || z.verbatim && !(x.verbatim && y.verbatim) {
			continue
		}
		if within(z.headers, append(append([]model.Field(nil), x.headers...), y.headers...)) {
			return true
		}
	}
	return false
}

// within says that every request with the headers of more has those of fewer.
func within(fewer, more []model.Field) bool {
	for _, f := range fewer {
		found := false
		for _, g := range more {
			found = found || model.EqualFold(f.Name, g.Name) && f.Value == g.Value
		}
		if !found {
			return false
		}
	}
	return true
}

// questions bounds the pairs of expressions that one Compile compares. Where more
// share a literal start, the table keeps to the order of the routes between them.
const questions = 20_000

// overlap says whether some path fits the expressions of both.
func (b *builder) overlap(x, y *entry) bool {
	if x.source() == y.source() {
		return true
	}
	if b.asked++; b.asked > questions {
		return false
	}
	_, found, _ := witness([]*language{b.language(x.source()), b.language(y.source())}, nil, x.verbatim && y.verbatim)
	return found
}

func (b *builder) language(re string) *language {
	if b.known[re] == nil {
		b.known[re] = languageOf(re)
	}
	return b.known[re]
}
