package match

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func faultsOf(words ...string) (list []string) {
	_, faults := Compile(routes(words...))
	for _, f := range faults {
		list = append(list, f.Path+" "+f.Message)
	}
	return list
}

func TestRoutesThatNoRuleSeparatesAreAFault(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []string
		where  string // of the one fault
	}{
		{"the same prefix", []string{"a /x", "b /x"}, "routes[1]"},
		{"the same exact path", []string{"z /", "a =/x", "b =/x"}, "routes[2]"},
		{"one path in two spellings", []string{"a /caf%c3%a9", "b /caf%C3%A9"}, "routes[1]"},
		{"one path with and without an escape", []string{"a /%7Euser", "b /~user"}, "routes[1]"},
		{"a host in two spellings", []string{"a A.example.com /x", "b a.Example.COM /x"}, "routes[1]"},
		{"one of many hosts and paths", []string{"a h1 h2 /x /y", "b h3 h2 /z /y"}, "routes[1]"},
		{"methods that overlap", []string{"a /x GET POST", "b /x POST PUT"}, "routes[1]"},
		{"HEAD, which GET includes", []string{"a /x GET", "b /x HEAD"}, "routes[1]"},
		{"any method and one", []string{"a /x", "b /x GET"}, "routes[1]"},
		{"the same headers", []string{"a /x X-A:1", "b /x x-a:1"}, "routes[1]"},
		{"other headers, as many, that one request can have", []string{"a /x X-A:1", "b /x X-B:1"}, "routes[1]"},
		{"the same expression", []string{"a ~^/x/[0-9]+$", "b ~^/x/[0-9]+$"}, "routes[1]"},
		{"expressions that overlap", []string{"a ~^/x/[a-m]+$", "b ~^/x/[m-z]+$"}, "routes[1]"},
		{"expressions that overlap far out", []string{"a ~^/x/(aa)*b$", "b ~^/x/(aaa)*b$"}, "routes[1]"},
		{"a canonical and a verbatim route at one path", []string{"a /x", "b verbatim /x"}, "routes[1]"},
		{"any host twice", []string{"a /", "b /"}, "routes[1]"},
		{"an IPv6 literal in two spellings", []string{"a [::1] /", "b [0:0::1] /"}, "routes[1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faultsOf(c.routes...)
			if len(got) != 1 || !strings.HasPrefix(got[0], c.where+" ") || !strings.Contains(got[0], `"a" and "b"`) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestRoutesThatARuleSeparatesAreNone(t *testing.T) {
	for name, list := range map[string][]string{
		"hosts":                                  {"a h1 /x", "b h2 /x", "c *.h2 /x", "d /x"},
		"exact, prefix and expression":           {"a =/x", "b /x", "c ~^/x/[0-9]+$", "d /x/y/"},
		"methods":                                {"a /x GET", "b /x POST", "c /x PUT DELETE"},
		"the number of headers":                  {"a /x", "b /x X-A:1", "c /x X-A:1 X-B:1"},
		"values of one header":                   {"a /x X-A:1", "b /x X-A:2"},
		"a third route where two headers meet":   {"a /x X-A:1", "b /x X-B:1", "c /x X-A:1 X-B:1"},
		"expressions that never meet":            {"a ~^/x/[0-9]+$", "b ~^/x/[a-z]+$"},
		"expressions kept apart by words":        {`a ~^/x/a\b-c$`, `b ~^/x/a\bd$`},
		"expressions of other literal starts":    {"a ~^/x/a[0-9]+$", "b ~^/x/[a-z0-9]+$"},
		"one route that says the same twice":     {"a h1 H1 /x /x ~^/y$ ~^/y$"},
		"one route whose paths overlap":          {"a /x /x/y =/x"},
		"a verbatim spelling and the canonical":  {"a /caf%C3%A9", "b verbatim /caf%c3%a9"},
		"verbatim and canonical told by methods": {"a /x GET", "b verbatim /x POST"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "expressions kept apart by words" {
				list = list[:1] // b fits nothing at all; see below
			}
			if got := faultsOf(list...); got != nil {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestRoutesThatCanNeverBeChosenAreAFault(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []string
		want   []string // parts of the one fault
	}{
		{"a prefix that an expression of the same start takes whole", []string{"a /x", "b ~^/x(/.*)?$"}, []string{"routes[0] ", `"a"`, `"b"`}},
		{"a prefix that two others share out", []string{"a /x", "b =/x", "c /x/"}, []string{"routes[0] ", `"a"`, `"b", "c"`}},
		{"an expression that exact paths share out", []string{"a =/x/1", "b =/x/2", "c ~^/x/[12]$"}, []string{"routes[2] ", `"c"`, `"a", "b"`}},
		{"an expression that only an exact path fits", []string{"a ~^/x$", "b =/x"}, []string{"routes[0] ", `"a"`, `"b"`}},
		{"with a header that the other does not want", []string{"a /x X-A:1", "b ~^/x(/.*)?$"}, []string{"routes[0] ", `"a"`, `"b"`}},
		{"at every one of its hosts", []string{"a h1 h2 /x", "b h1 h2 =/x", "c h1 h2 /x/"}, []string{"routes[0] ", `"a"`}},
		{"whatever methods the others serve", []string{"a /x POST", "b =/x GET", "c /x/ GET"}, []string{"routes[0] "}},
		{"verbatim among verbatim", []string{"a verbatim /x", "b verbatim =/x", "c verbatim /x/"}, []string{"routes[0] "}},
		{"an expression that no path fits", []string{"a ~^/x//y$"}, []string{"routes[0].paths[0] ", "no path"}},
		{"an expression for a dot segment", []string{`a ~^/x/\.\./y$`}, []string{"no path"}},
		{"an expression for a query", []string{`a ~^/x\?y=[0-9]$`}, []string{"no path"}},
		{"an expression for an encoded slash on a canonical route", []string{`a ~^/x%2Fy$`}, []string{"no path"}},
		{"an expression at odds with itself", []string{`b ~^/x/a\bd$`}, []string{"no path"}},
		{"a header that is removed before", []string{"a /x Connection:close"}, []string{"routes[0].headers ", "Connection"}},
		{"the Host as a header", []string{"a /x host:b"}, []string{"routes[0].headers ", "hosts"}},
		{"one header with two values", []string{"a /x X-A:1 x-a:2"}, []string{"routes[0].headers ", "twice"}},
		{"the gateway's own paths", []string{"a /.sallyport/healthz"}, []string{"routes[0].paths[0] ", "gateway's own"}},
		{"a path for verbatim routes only", []string{"a /x%2Fy"}, []string{"routes[0].paths[0] ", "verbatim"}},
		{"a hidden dot segment", []string{"a verbatim /x/%2e%2e"}, []string{"routes[0].paths[0] ", "dot segment"}},
		{"a dot segment behind a parameter", []string{"a verbatim /x/..;/y"}, []string{"routes[0].paths[0] ", "dot segment"}},
		{"an invalid escape", []string{"a /x%zz"}, []string{"routes[0].paths[0] "}},
		{"an expression that is not anchored", []string{"a ~/x$"}, []string{"routes[0].paths[0] ", "anchored"}},
		{"an expression whose anchor is escaped", []string{`a ~^/x\$`}, []string{"routes[0].paths[0] ", "anchored"}},
		{"a host that no request names", []string{"a [::g] /x"}, []string{"routes[0].hosts[0] "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faultsOf(c.routes...)
			if len(got) != 1 {
				t.Fatalf("got %q", got)
			}
			for _, part := range c.want {
				if !strings.Contains(got[0], part) {
					t.Errorf("got %q, without %q", got[0], part)
				}
			}
		})
	}
}

func TestRoutesThatAreSeldomChosenAreNone(t *testing.T) {
	for name, list := range map[string][]string{
		"a prefix under an exact path and an expression": {"a /x", "b =/x", "c ~^/x/[a-z0-9~]+$"},
		"hidden at one of its hosts":                     {"a h1 h2 /x", "b h1 =/x", "c h1 /x/"},
		"hidden but for a header":                        {"a /x", "b =/x X-A:1", "c /x/ X-A:1"},
		"an any-host route under a wildcard":             {"a /x", "b *.example.com /x"},
		"hidden from ambiguous paths only":               {"a verbatim /x", "b =/x", "c /x/"},
		"hidden from canonical spellings only":           {"a /x", "b verbatim =/x", "c verbatim /x/"},
		"a segment below":                                {"a /x", "b /x/y"},
		"an escaped slash on a verbatim route":           {"a verbatim ~^/x%2Fy$"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := faultsOf(list...); got != nil {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestEveryFaultIsReportedInOneGo(t *testing.T) {
	got := faultsOf("a /x /x%zz", "b /x", "c /y", "d ~^/y(/.*)?$", "e [::g] /z")
	if len(got) != 4 {
		t.Errorf("got %d faults: %q", len(got), got)
	}
}

// The naive matcher: every route is looked at, the fitting ones put in order.
type fit struct{ host, path, headers, route int }

func naive(list []model.Route, host string, p *Path, method string, fields []model.Field) (string, bool) {
	var fits []fit
	for i := range list {
		best := fit{host: -1}
		for _, h := range append([]string(nil), list[i].Hosts...) {
			n := naiveHost(h, host)
			if n >= 0 {
				best.host = max(best.host, n)
			}
		}
		if len(list[i].Hosts) == 0 {
			best.host = 0
		}
		best.path = -1
		for _, pattern := range list[i].Paths {
			text := p.matched()
			if list[i].Path == model.PathVerbatim {
				text = p.Raw
			}
			best.path = max(best.path, naivePath(pattern, text))
		}
		ok := best.host >= 0 && best.path >= 0
		for name, value := range list[i].Headers {
			have := []string{}
			for _, f := range fields {
				if strings.EqualFold(f.Name, name) && !f.Dropped {
					have = append(have, f.Value)
				}
			}
			ok = ok && len(have) > 0 && strings.Join(have, ", ") == value
		}
		if ok {
			fits = append(fits, fit{best.host, best.path, len(list[i].Headers), i})
		}
	}
	order := func(a, b fit) int {
		return cmp.Or(cmp.Compare(b.host, a.host), cmp.Compare(b.path, a.path), cmp.Compare(b.headers, a.headers))
	}
	slices.SortStableFunc(fits, order)
	if len(fits) == 0 {
		if p.Ambiguous {
			return "path_ambiguous", true
		}
		return "route_not_found", true
	}
	equal := []fit{}
	served := []fit{}
	for _, f := range fits {
		if order(f, fits[0]) == 0 {
			equal = append(equal, f)
			if m := list[f.route].Methods; len(m) == 0 || slices.Contains(m, method) || method == "HEAD" && slices.Contains(m, "GET") {
				served = append(served, f)
			}
		}
	}
	verbatims := 0
	for _, f := range equal {
		if list[f.route].Path == model.PathVerbatim {
			verbatims++
		}
	}
	// Several are left only where one spelling of a path brings a verbatim and a
	// canonical route together: then the verbatim one is asked first.
	mixed := verbatims > 0 && verbatims < len(equal)
	pick := served
	if len(pick) == 0 {
		pick = equal
	}
	slices.SortStableFunc(pick, func(a, b fit) int {
		return cmp.Compare(list[b.route].Path, list[a.route].Path) // "verbatim" > "canonical"
	})
	chosen := list[pick[0].route]
	single := len(served) <= 1 || mixed
	switch {
	case chosen.Path == model.PathVerbatim && slowDots(strings.ReplaceAll(strings.ReplaceAll(p.Raw, "%2F", "/"), "%2f", "/")),
		chosen.Path != model.PathVerbatim && p.Ambiguous:
		return "path_ambiguous", single
	case len(served) > 0:
		return chosen.Name, single
	}
	return "method_not_allowed", single
}

func naiveHost(pattern, host string) int {
	host = strings.TrimSuffix(strings.ToLower(strings.Split(host, ":")[0]), ".")
	switch suffix, wild := strings.CutPrefix(pattern, "*"); {
	case !wild && pattern == host:
		return 1000
	case wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix):
		return len(suffix)
	}
	return -1
}

// naivePath ranks by twice the literal's length; the expressions of this test are
// all "~^LITERAL[ab]+$" or "~^LITERAL(/.*)?$".
func naivePath(pattern, path string) int {
	switch {
	case strings.HasPrefix(pattern, "="):
		if path == pattern[1:] {
			return 1 << 20
		}
	case strings.HasPrefix(pattern, "~"):
		literal := strings.TrimSuffix(strings.TrimSuffix(pattern[2:], "[ab]+$"), "(/.*)?$")
		rest, ok := strings.CutPrefix(path, literal)
		if ok && strings.HasSuffix(pattern, "+$") {
			ok = rest != "" && strings.Trim(rest, "ab") == ""
		} else if ok {
			ok = rest == "" || rest[0] == '/'
		}
		if ok {
			return 2*len(literal) + 1
		}
	case path == pattern, strings.HasPrefix(path, strings.TrimSuffix(pattern, "/")+"/"):
		return 2 * len(pattern)
	}
	return -1
}

func some[T any](rnd *rand.Rand, list ...T) T { return list[rnd.IntN(len(list))] }

func randomRoute(rnd *rand.Rand, i int) model.Route {
	out := model.Route{Name: fmt.Sprintf("r%d", i), Path: some(rnd, model.PathCanonical, model.PathCanonical, model.PathVerbatim), Headers: map[string]string{}}
	for range rnd.IntN(3) {
		out.Hosts = append(out.Hosts, some(rnd, "a.h", "b.h", "*.h", "*.b.h"))
	}
	for range 1 + rnd.IntN(2) {
		p := ""
		for range rnd.IntN(4) {
			p += some(rnd, "/a", "/b", "/ab")
		}
		switch {
		case p == "":
			p = some(rnd, "/", "=/", "/a", "~^/[ab]+$")
		case rnd.IntN(8) == 0:
			p = "=" + p + some(rnd, "", "/")
		case rnd.IntN(5) == 0:
			p = "~^" + p + some(rnd, "/[ab]+$", "[ab]+$", "(/.*)?$")
		default:
			p += some(rnd, "", "", "/")
		}
		out.Paths = append(out.Paths, p)
	}
	if rnd.IntN(3) == 0 {
		out.Headers[some(rnd, "X-A", "X-B")] = some(rnd, "1", "2")
	}
	out.Methods = some(rnd, nil, nil, []string{"GET"}, []string{"POST"}, []string{"GET", "PUT"})
	return out
}

type probe struct {
	host, target, method string
	fields               []model.Field
}

func randomProbe(rnd *rand.Rand) probe {
	q := probe{host: some(rnd, "a.h", "B.h:80", "x.h.", "x.b.h", "other"), method: some(rnd, "GET", "POST", "HEAD", "PUT")}
	for range rnd.IntN(5) {
		q.target += some(rnd, "/a", "/a", "/b", "/ab", "/%61", "/", "/..", "/.", "/a%2Fb", "/a.b;c", "/..;x")
	}
	if q.target == "" {
		q.target = "/"
	}
	for range rnd.IntN(3) {
		q.fields = append(q.fields, model.Field{Name: some(rnd, "X-A", "x-b"), Value: some(rnd, "1", "2"), Dropped: rnd.IntN(8) == 0})
	}
	return q
}

// FuzzFind compares the table with the naive matcher; a set that Compile takes must
// leave no request between two routes, and a route that it calls unreachable must
// be chosen by no request.
func FuzzFind(f *testing.F) {
	for i := range uint64(30) {
		f.Add(i, uint8(i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var list []model.Route
		for i := range 1 + int(size)%12 {
			list = append(list, randomRoute(rnd, i))
		}
		table, faults := Compile(list)
		for range 40 {
			if len(faults) == 0 {
				break
			}
			var i int
			if _, err := fmt.Sscanf(faults[0].Path, "routes[%d]", &i); err != nil {
				t.Fatal(faults)
			}
			if strings.Contains(faults[0].Message, "never be chosen") {
				neverChosen(t, rnd, list, list[i].Name)
			}
			list = slices.Delete(list, i, i+1)
			table, faults = Compile(list)
		}
		for range 200 {
			q := randomProbe(rnd)
			p, e := ParseTarget(q.target, nil)
			if e != nil {
				continue
			}
			want, single := naive(list, q.host, &p, q.method, q.fields)
			if !single {
				t.Fatalf("%+v lies between two of %+v", q, list)
			}
			i, _, err := table.Find(q.host, &p, q.method, q.fields)
			got := ""
			if err != nil {
				got = string(err.Code)
			} else {
				got = list[i].Name
			}
			if got == "path_ambiguous" && p.parameters && !p.Ambiguous {
				continue // another route without its parameters: TestParametersDoNotHideARoute
			}
			if got != want {
				t.Fatalf("%+v: got %s, want %s of %+v", q, got, want, list)
			}
		}
	})
}

func neverChosen(t *testing.T, rnd *rand.Rand, list []model.Route, name string) {
	t.Helper()
	for range 100 {
		q := randomProbe(rnd)
		if p, e := ParseTarget(q.target, nil); e == nil {
			if got, _ := naive(list, q.host, &p, q.method, q.fields); got == name {
				t.Fatalf("%+v chooses %s of %+v", q, name, list)
			}
		}
	}
}
