package match

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// r makes a route from words: "name", then hosts, =exact, /prefix and ~expression
// paths, METHODS in capitals, Header:value, and "verbatim".
func r(words string) model.Route {
	out := model.Route{Path: model.PathCanonical, Headers: map[string]string{}}
	for i, w := range strings.Fields(words) {
		name, value, header := strings.Cut(w, ":")
		switch {
		case i == 0:
			out.Name = w
		case w == "verbatim":
			out.Path = model.PathVerbatim
		case strings.Contains("/=~", w[:1]):
			out.Paths = append(out.Paths, w)
		case header && w[0] != '[':
			out.Headers[name] = value
		case w == strings.ToUpper(w) && !strings.ContainsAny(w, ".["):
			out.Methods = append(out.Methods, w)
		default:
			out.Hosts = append(out.Hosts, w)
		}
	}
	return out
}

func routes(words ...string) (list []model.Route) {
	for _, w := range words {
		list = append(list, r(w))
	}
	return list
}

func compiled(t testing.TB, list []model.Route) *Table {
	t.Helper()
	table, faults := Compile(list)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return table
}

// ask looks up "METHOD host/path [Header:value …]" as a door would, and gives the
// name of the route, or the code and the methods of a 405.
func ask(t testing.TB, table *Table, list []model.Route, request string) string {
	t.Helper()
	words := strings.Fields(request)
	host, target, _ := strings.Cut(words[1], "/")
	p, err := ParseTarget("/"+target, nil)
	if err != nil {
		return string(err.Code)
	}
	var fields []model.Field
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, ":")
		fields = append(fields, model.Field{Name: strings.TrimPrefix(name, "!"), Value: value, Dropped: name[0] == '!'})
	}
	i, allow, err := table.Find(host, &p, words[0], fields)
	if err != nil {
		if i != -1 {
			t.Errorf("%s: refused with a route", request)
		}
		return strings.Join(append([]string{string(err.Code)}, allow...), " ")
	}
	return list[i].Name
}

type lookup struct{ request, want string }

func check(t *testing.T, list []model.Route, lookups []lookup) {
	t.Helper()
	table := compiled(t, list)
	for _, l := range lookups {
		if got := ask(t, table, list, l.request); got != l.want {
			t.Errorf("%s: got %s, want %s", l.request, got, l.want)
		}
	}
}

func TestTheHostChoosesFirst(t *testing.T) {
	list := routes(
		"exact api.example.com /a",
		"wild *.example.com / ",
		"deeper *.eu.example.com /",
		"v6 [2001:db8::1] /",
		"v4 192.0.2.7 /",
		"any /a/b =/only-any")
	check(t, list, []lookup{
		{"GET api.example.com/a", "exact"},
		{"GET api.example.com/a/b", "exact"}, // though any host has the longer path
		{"GET api.example.com/other", "wild"},
		{"GET x.example.com/a/b", "wild"},
		{"GET x.eu.example.com/", "deeper"},
		{"GET x.y.eu.example.com/", "deeper"},
		{"GET eu.example.com/", "wild"},
		{"GET example.com/a/b", "any"},
		{"GET example.com/", "route_not_found"},
		{"GET [2001:DB8:0:0::1]:8443/", "v6"},
		{"GET [2001:db8::1]/", "v6"},
		{"GET 192.0.2.7:80/", "v4"},
		{"GET /a/b", "any"}, // explain may know no host
		// Row 19: Authelia CVE-2026-48794, hosts that are spelled otherwise.
		{"GET API.Example.COM/a", "exact"},
		{"GET api.example.com./a", "exact"},
		{"GET API.example.com.:8443/a", "exact"},
		{"GET api.example.com:/a", "exact"},
		// Row 24: CVE-2021-21291, a suffix without a dot before it.
		{"GET evilexample.com/a/b", "any"},
		{"GET api.example.com.evil.org/a", "route_not_found"},
		{"GET .example.com/", "route_not_found"},
		// Row 20: Authelia CVE-2021-32637, a malformed URL must not pass.
		{"GET a@api.example.com/a", "request_malformed"},
		{"GET api.example.com:80:80/a", "request_malformed"},
		{"GET api.example.com:x/a", "request_malformed"},
		{"GET api%2eexample.com/a", "request_malformed"},
		{"GET bücher.example.com/", "request_malformed"},
		{"GET [::1/a", "request_malformed"},
		{"GET [::1%25eth0]/a", "request_malformed"},
		{"GET [192.0.2.7]/a", "request_malformed"},
		{"GET [::1]x/a", "request_malformed"},
		{"GET " + strings.Repeat("A", 300) + "/a", "request_malformed"},
	})
	check(t, routes("punycode xn--bcher-kva.example.com /"), []lookup{{"GET XN--BCHER-KVA.example.com/", "punycode"}})
}

func TestThePathChoosesNext(t *testing.T) {
	list := routes(
		"root /",
		"a /a",
		"a-slash /a/b/",
		"exact =/a/b/c",
		"exact-slash =/a/b/c/",
		"long /a/b/c/d",
		"tie ~^/a/b/c/d(/[0-9]+)?$",
		"number ~^/a/[0-9]+$",
		"longer ~^/a/7[0-9]+$",
		"part ~^/item-[a-z]+$",
		"cafe /caf%c3%a9",
		"user /%7Euser")
	check(t, list, []lookup{
		{"GET h/", "root"},
		{"GET h/x", "root"},
		{"GET h/a", "a"},
		{"GET h/ab", "root"}, // on a segment boundary only
		{"GET h/a/", "a"},
		{"GET h/a/x", "a"},
		{"GET h/a/b", "a"},
		{"GET h/a/b/", "a-slash"},
		{"GET h/a/b/x", "a-slash"},
		{"GET h/a/b/c", "exact"},
		{"GET h/a/b/c/", "exact-slash"},
		{"GET h/a/b/c/e", "a-slash"},
		{"GET h/a/b/c/d", "tie"}, // as long as the prefix, and a regex wins
		{"GET h/a/b/c/d/7", "tie"},
		{"GET h/a/b/c/d/x", "long"},
		{"GET h/a/5", "number"},
		{"GET h/a/71", "longer"},
		{"GET h/a/7", "number"},
		{"GET h/item-x", "part"},
		{"GET h/item-1", "root"},
		{"GET h/caf%C3%A9/x", "cafe"},
		{"GET h/caf%c3%a9", "cafe"},
		{"GET h/~user", "user"},
		{"GET h/%7euser/x", "user"},
		{"GET h/x/../a/b/c", "exact"},
		{"GET h//a//b//c", "exact"},
		{"GET h/%61/b/%63", "exact"},
	})
	check(t, routes("only =/a", "below /b/"), []lookup{
		{"GET h/a", "only"}, {"GET h/a/", "route_not_found"}, {"GET h/b", "route_not_found"}, {"GET h/b/", "below"}, {"GET h/", "route_not_found"}})
}

func TestAnExpressionMatchesTheWholeOfAPath(t *testing.T) {
	// Row 22: oauth2-proxy CVE-2025-54576, an expression that matched a part, or the query.
	check(t, routes("one ~^/public|/health$", "three ~^/caf%c3%a9/%7e[a-z]+$", "four ~^/(?:v1|v2)/x$", "five ~^/?five$"), []lookup{
		{"GET h/public", "one"},
		{"GET h/health", "one"},
		{"GET h/public/admin", "route_not_found"},
		{"GET h/admin/health", "route_not_found"},
		{"GET h/admin?x=/public", "route_not_found"},
		{"GET h/admin?/health", "route_not_found"},
		{"GET h/admin%3Fx=/health", "route_not_found"},
		{"GET h/caf%C3%A9/~me", "three"},
		{"GET h/v2/x", "four"},
		{"GET h/five", "five"},
	})
}

func TestHeadersChooseAfterThePath(t *testing.T) {
	list := routes("plain /a", "beta /a X-Version:2", "both /a X-Version:2 X-Tenant:t", "longer /a/b", "only /c X-Version:2", "root /")
	check(t, list, []lookup{
		{"GET h/a", "plain"},
		{"GET h/a x-version:2", "beta"},
		{"GET h/a X-Version:3", "plain"},
		{"GET h/a X-Version:2 X-TENANT:t", "both"},
		{"GET h/a X-Tenant:t", "plain"},
		{"GET h/a/b X-Version:2 X-Tenant:t", "longer"},
		{"GET h/c X-Version:2", "only"},
		{"GET h/c", "root"}, // a route whose headers do not match is no candidate
		{"GET h/a !X-Version:2", "plain"},
		{"GET h/a X-Version:2 X-Version:2", "plain"}, // two lines are one value, "2, 2"
		{"GET h/a X-Version:3 X-Version:2", "plain"},
	})
	joined := []model.Route{r("plain /a"), r("list /a")}
	joined[1].Headers = map[string]string{"Accept": "a, b"}
	check(t, joined, []lookup{{"GET h/a Accept:a Accept:b", "list"}, {"GET h/a Accept:a", "plain"}})
}

func TestMethodsTellEqualRoutesApartAndNeverLeadElsewhere(t *testing.T) {
	list := routes("read /a GET", "write /a POST PUT", "below /a/b GET", "any /", "star /s *", "beta /a DELETE X-Beta:1", "x ~^/x/[0-9]+$ GET", "y ~^/x/[0-9a-f]+$ POST")
	check(t, list, []lookup{
		{"GET h/a", "read"},
		{"HEAD h/a", "read"},
		{"PUT h/a/x", "write"},
		{"DELETE h/a", "method_not_allowed GET HEAD POST PUT"},
		{"POST h/a/b", "method_not_allowed GET HEAD"}, // though /a serves POST
		{"get h/a", "method_not_allowed GET HEAD POST PUT"},
		{"DELETE h/a X-Beta:1", "beta"},
		{"GET h/a X-Beta:1", "method_not_allowed DELETE"},
		{"PURGE h/s", "star"},
		{"PURGE h/other", "any"},
		{"GET h/x/12", "x"},
		{"POST h/x/12", "y"},
		{"PUT h/x/12", "method_not_allowed GET HEAD POST"},
		{"PUT h/x/ab", "method_not_allowed POST"},
	})
}

func TestAVerbatimRouteTakesTheReceivedBytes(t *testing.T) {
	list := routes("files verbatim /files", "one verbatim =/one%2Ftwo", "expr verbatim ~^/e/[^/]+%2f[^/]+$", "admin /admin", "long /closed-area", "deep /files/closed", "root /")
	check(t, list, []lookup{
		{"GET h/files/a%2Fb", "files"},
		{"GET h/files/a%2fb%20c//d", "files"},
		{"GET h/files/x.json;v=1", "files"},
		{"GET h/files/%61", "files"},
		{"GET h/files", "files"},
		{"GET h/filesystem", "root"},
		{"GET h/one%2Ftwo", "one"},
		{"GET h/one%2ftwo", "path_ambiguous"}, // not byte for byte, and so left to the canonical routes
		{"GET h/e/a%2fb", "expr"},
		{"GET h/e/a%2Fb", "path_ambiguous"},
		{"GET h/a%2Fb", "path_ambiguous"},
		{"GET h/a.b;c", "path_ambiguous"},
		{"GET h/files/closed/a%2Fb", "path_ambiguous"}, // the more specific route is canonical
		{"GET h//files/closed", "deep"},
		{"GET h/files/./closed", "deep"},
		{"GET h/files/x/../y", "path_ambiguous"},
		{"GET h/files/x/./y", "path_ambiguous"},
		{"GET h/files/../admin", "path_ambiguous"}, // as long a literal: the received bytes win, and are refused
		{"GET h/files/../closed-area", "long"},     // a longer one: the canonical path leads and goes there
		// Row 14: CVE-2026-33494; row 17: CVE-2026-73551.
		{"GET h/files/..;/admin", "path_ambiguous"},
		{"GET h/files/..%2Fadmin", "path_ambiguous"},
		{"GET h/files/x%2F..%2F..%2Fadmin", "path_ambiguous"},
		{"GET h/files/.;a=b/x", "path_ambiguous"},
		{"GET h/files/%2e%2e%2Fadmin", "path_ambiguous"},
		{"GET h/files/..%3b/admin", "path_ambiguous"},
		{"GET h/files/%5Cx", "path_ambiguous"},
		{"GET h/files/%252e%252e/admin", "path_ambiguous"},
	})
	// Row 15: Heimdall GHSA-r9fw-vxmp-hwf2, the raw bytes decided on are those received.
	p, _ := ParseTarget("/files/a%2fB%7e?q", nil)
	if p.Raw != "/files/a%2fB%7e" {
		t.Errorf("Raw is %q", p.Raw)
	}
	check(t, routes("only verbatim /v"), []lookup{
		{"GET h/v/a%2Fb", "only"}, {"GET h/w", "route_not_found"}, {"GET h/w%2Fb", "path_ambiguous"}, {"GET h//v", "route_not_found"}})
	check(t, routes("v verbatim /a POST", "c /a GET"), []lookup{
		{"GET h/a/b", "c"}, {"POST h/a/b", "v"}, {"GET h/a/b%2Fc", "path_ambiguous"}, {"POST h/a/b%2Fc", "v"}, {"PUT h/a/b", "method_not_allowed GET HEAD POST"}})
}

func TestPathTricksPastAPublicPrefixEndAtTheClosedOneOrInARefusal(t *testing.T) {
	list := routes("public /public", "admin /admin", "root /")
	table := compiled(t, list)
	for _, target := range []string{
		"/public/../admin", "/public/./../admin", "//admin", "/./admin", "/%61dmin", "/admin/", "/public/..//admin",
		"/public/%2e%2e/admin", "/public/.%2e/admin", "/public/..%2fadmin", "/public/..;/admin", "/public/..;x=y/admin", "/public/%2e%2e;/admin",
		"/public/..%5cadmin", `/public/..\admin`, "/public/%252e%252e/admin", "/public%2f..%2fadmin", "/public/%c0%ae%c0%ae/admin", "/public/..%00/admin",
		"/admin;x=1", "/admin;x=1/users", "/;x/admin", "/admin%2f", "/admin%2fusers", "/.;/admin", "/admin/..;/admin", "/public/%2e%2e%2fadmin",
		"/public/..%c0%af../admin", "/public/%e0%80%ae%e0%80%ae/admin", "/%2561dmin%252f..", "/public/%25%32%65%25%32%65/admin", "/admin#/public",
		"/a%2f%2e%2e%2fadmin", "/..%2fadmin", "/..;/admin",
	} {
		switch got := ask(t, table, list, "GET h"+target); got {
		case "admin", "path_ambiguous", "request_malformed":
		default:
			// Rows 14, 16, 17 and 18. What is not admin's must not name it for any reader.
			t.Errorf("%s is taken by %s", target, got)
		}
	}
}

func TestParametersDoNotHideARoute(t *testing.T) {
	// Row 17: Envoy CVE-2026-73553.
	check(t, routes("admin /admin", "exact =/exact", "expr ~^/e/[0-9]+$", "root /"), []lookup{
		{"GET h/admin;x=1", "path_ambiguous"},
		{"GET h/admin;x=1/users", "path_ambiguous"},
		{"GET h/;x/admin", "path_ambiguous"},
		{"GET h/exact;jsessionid=1", "path_ambiguous"},
		{"GET h/e/1;v=2", "path_ambiguous"},
		{"GET h/admin/users;x=1", "admin"},
		{"GET h/map;zoom=3/tile;x=1", "root"},
	})
}

func TestTheAsteriskLeadsNowhere(t *testing.T) {
	table := compiled(t, routes("root /"))
	for method, want := range map[string]model.Code{"OPTIONS": model.RouteNotFound, "GET": model.RequestMalformed} {
		p, _ := ParseTarget("*", nil)
		if _, _, err := table.Find("h", &p, method, nil); err == nil || err.Code != want {
			t.Errorf("%s * gave %v, want %s", method, err, want)
		}
	}
}

func TestAnEmptyTableFindsNothing(t *testing.T) {
	check(t, nil, []lookup{{"GET h/", "route_not_found"}, {"GET h/a%2Fb", "path_ambiguous"}})
}

func TestLookUpAllocatesNothing(t *testing.T) {
	list := manyRoutes(1000)
	list = append(list, routes("v verbatim v.example.com /files", "w *.w.example.com /w/x", "h /h X-A:1", "e ~^/e/[0-9]+$")...)
	table := compiled(t, list)
	for _, q := range []struct{ host, target string }{
		{"api.example.com", "/service-7/v1/orders/42"}, {"API.EXAMPLE.com:443", "/service-7/v1/"}, {"v.example.com", "/files/a%2Fb"},
		{"a.b.w.example.com.", "/w/x/y"}, {"[::1]:80", "/h"}, {"x", "/e/17"},
	} {
		p, err := ParseTarget(q.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		fields := []model.Field{{Name: "Accept", Value: "*/*"}, {Name: "X-A", Value: "1"}}
		if n := testing.AllocsPerRun(100, func() {
			if _, _, err := table.Find(q.host, &p, "GET", fields); err != nil {
				t.Fatal(q, err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", q, n)
		}
	}
}

func manyRoutes(n int) (list []model.Route) {
	for i := range n {
		list = append(list, r(fmt.Sprintf("service-%d /service-%d/v1", i, i)))
	}
	return list
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("%d routes", n), func(b *testing.B) {
			table := compiled(b, manyRoutes(n))
			paths := make([]Path, n)
			for i := range paths {
				paths[i], _ = ParseTarget(fmt.Sprintf("/service-%d/v1/orders/42/items", i), nil)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, err := table.Find("api.example.com:8443", &paths[i*7919%n], "GET", nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("an expression", func(b *testing.B) {
		table := compiled(b, append(manyRoutes(100), routes("e ~^/service-7/v1/orders/[0-9]+$")...))
		p, _ := ParseTarget("/service-7/v1/orders/42", nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := table.Find("api.example.com:8443", &p, "GET", nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	list := manyRoutes(10_000)
	for b.Loop() {
		compiled(b, list)
	}
}

func TestManyExpressionsCompileAndAreFound(t *testing.T) {
	var list []model.Route
	for i := range 2_000 {
		list = append(list, r(fmt.Sprintf("r%d ~^/item%d-[a-z]+$", i, i)))
	}
	check(t, list, []lookup{{"GET h/item77-abc", "r77"}, {"GET h/item1999-z", "r1999"}, {"GET h/item77", "route_not_found"}})
}
