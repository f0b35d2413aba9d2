package match

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// Traefik GHSA-6jwx-7vp4-9847: an encoded slash took the route without a guard.
func TestRequestsInDisguiseAreFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []model.Route // those whose names begin with "open" are
		want   string
	}{
		{"an open route above a closed one", routes("open / verbatim", "closed /admin"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"in any order", routes("closed /admin", "open / verbatim"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"deeper down", routes("open /a verbatim", "closed /a/b/c"), "GET /a/b%2Fc past closed, plain /a/b/c"},
		{"beside it", routes("open ~^/adm[a-zA-Z0-9%]*$ verbatim", "closed /admin"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"above a closed one that is verbatim too", routes("open / verbatim", "closed /admin verbatim"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"above an exact path", routes("open / verbatim", "closed =/admin/x"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"above an expression", routes("open / verbatim", "closed ~^/u/[0-9]+$"), "GET /u%2F0 past closed, plain /u/0"},
		{"for the closed one's methods", routes("open / verbatim POST", "closed /admin POST PUT"), "POST /admin%2Fx past closed, plain /admin/x"},
		{"with the closed one's headers", routes("open / verbatim", "closed /admin X-A:1"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"with its own", routes("open / verbatim X-B:2", "closed /admin"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"on the same host", routes("open / verbatim *.example.com", "closed /admin api.example.com"), "GET /admin%2Fx past closed, plain /admin/x"},
		{"by a parameter, which is dropped", routes("open ~^/admin;.*$ verbatim", "closed /admin"), "GET /admin;x/x past closed, plain /admin/x"},

		{"a canonical one takes nothing", routes("open /", "closed /admin"), ""},
		{"a closed one neither", routes("closed1 / verbatim", "closed2 /admin"), ""},
		{"nor one that lies elsewhere", routes("open /files verbatim", "closed /admin"), ""},
		{"or below", routes("open /admin/public verbatim", "closed /admin"), ""},
		{"on other hosts", routes("open / verbatim a.example.com", "closed /admin b.example.com"), ""},
		{"or serves other methods", routes("open / verbatim GET", "closed /admin POST"), ""},
		{"nothing is taken from an open one", routes("open / verbatim", "open2 /admin"), ""},
	} {
		table, faults := Compile(c.routes)
		if len(faults) > 0 {
			t.Fatal(c.name, faults)
		}
		var got []string
		for _, d := range table.Disguises(c.routes, func(r *model.Route) bool { return strings.HasPrefix(r.Name, "open") }) {
			if c.routes[d.Taker].Name != "open" {
				t.Errorf("%s: %s takes", c.name, c.routes[d.Taker].Name)
			}
			got = append(got, fmt.Sprintf("%s %s past %s, plain %s", d.Method, d.Path, c.routes[d.Taken].Name, d.Plain))
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
