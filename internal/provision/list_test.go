package provision

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func (r *room) names(kind string, q Query) string {
	r.t.Helper()
	var all []string
	for pages := 0; ; pages++ {
		p, err := r.List(r.t.Context(), kind, q)
		if err != nil {
			r.t.Fatalf("%s %+v: %v", kind, q, err)
		}
		if q.Limit > 0 && len(p.Items) > q.Limit {
			r.t.Fatalf("a page of %d", len(p.Items))
		}
		for _, o := range p.Items {
			all = append(all, o.Name)
		}
		if p.NextCursor == "" {
			return strings.Join(all, " ")
		}
		if len(p.Items) == 0 || pages > 100 {
			r.t.Fatal("the pages do not end")
		}
		q.Cursor = p.NextCursor
	}
}

func TestListsAreFilteredSortedAndPaged(t *testing.T) {
	r := newRoom(t)
	r.put(store.KindServices, "a", `{"targets":[{"url":"http://10.0.0.1"}],"retries":0}`)
	r.put(store.KindServices, "b", `{"targets":[{"url":"http://10.0.0.1"}],"protocol":"http2"}`)
	for i, name := range []string{"r1", "r2", "r3", "r4", "r5"} {
		service := []string{"a", "b"}[i%2]
		r.put(store.KindRoutes, name, fmt.Sprintf(`{"paths":["/%s"],"hosts":["h%d.example.com"],"service":%q}`, name, i, service))
	}
	r.put(store.KindRoles, "x", `{"permissions":[{"routes":["*"],"methods":["*"]}]}`)
	r.put(store.KindGroups, "g", `{"roles":["x"]}`)
	for _, u := range []string{"Ann", "ben", "Cid", "dan"} {
		r.put(KindUsers, u, fmt.Sprintf(`{"username":%q,"emails":["%s@example.com"],"active":%t,"groups":["g"],"roles":["x"]}`, u, strings.ToLower(u), u != "ben"))
	}
	r.put(KindUsers, "app", `{"kind":"application"}`)
	for _, c := range []struct {
		name, kind string
		q          Query
		want       string
	}{
		{"all, by name", store.KindRoutes, Query{}, "r1 r2 r3 r4 r5"},
		{"in pages", store.KindRoutes, Query{Limit: 2}, "r1 r2 r3 r4 r5"},
		{"in pages of one", store.KindRoutes, Query{Limit: 1}, "r1 r2 r3 r4 r5"},
		{"backwards in pages", store.KindRoutes, Query{Limit: 2, Sort: "-name"}, "r5 r4 r3 r2 r1"},
		{"by another field in pages", store.KindRoutes, Query{Limit: 2, Sort: "service"}, "r1 r3 r5 r2 r4"},
		{"by another field backwards", store.KindRoutes, Query{Limit: 3, Sort: "-service"}, "r4 r2 r5 r3 r1"},
		{"by the last change", store.KindRoutes, Query{Limit: 2, Sort: "-updatedAt"}, "r5 r4 r3 r2 r1"},
		{"by a field", store.KindRoutes, Query{Filter: `service eq "a"`}, "r1 r3 r5"},
		{"by two", store.KindRoutes, Query{Filter: `service eq "a" AND name EQ "r3"`}, "r3"},
		{"by a member of a list", store.KindRoutes, Query{Filter: `host eq "h1.example.com"`}, "r2"},
		{"by nothing there is", store.KindRoutes, Query{Filter: `service eq "c"`}, ""},
		{"by a number", store.KindServices, Query{Filter: `retries eq 0`}, "a"},
		{"by another type", store.KindServices, Query{Filter: `retries eq "0"`}, ""},
		{"users by name in any case", KindUsers, Query{}, "Ann app ben Cid dan"},
		{"users in pages", KindUsers, Query{Limit: 2}, "Ann app ben Cid dan"},
		{"users in pages of the exact size", KindUsers, Query{Limit: 5}, "Ann app ben Cid dan"},
		{"users backwards", KindUsers, Query{Limit: 2, Sort: "-username"}, "dan Cid ben app Ann"},
		{"users by activity", KindUsers, Query{Filter: `active eq true and kind eq "person"`, Limit: 1}, "Ann Cid dan"},
		{"users by e-mail", KindUsers, Query{Filter: `email eq "CID@example.com"`}, "Cid"},
		{"users by group and role", KindUsers, Query{Filter: `group eq "g" and roles eq "x" and active eq false`}, "ben"},
		{"users by name", KindUsers, Query{Filter: `username eq "CID"`}, "Cid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := r.names(c.kind, c.q); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// An unknown filter that answers everything makes a program take the wrong user
// (keycloak-scim-server #125, eneo #443).
func TestWhatAListCannotAnswerIsAFault(t *testing.T) {
	r := newRoom(t).furnish()
	p, err := r.List(t.Context(), store.KindRoles, Query{Limit: 1})
	if err != nil || p.NextCursor == "" {
		t.Fatal(p, err)
	}
	forged := []byte(p.NextCursor)
	forged[len(forged)-3] ^= 1
	for name, c := range map[string]struct {
		kind string
		q    Query
		path string
	}{
		"an unknown field":              {KindUsers, Query{Filter: `externalId eq "1"`}, "filter"},
		"an unknown field of a route":   {store.KindRoutes, Query{Filter: `nonsense eq "1"`}, "filter"},
		"a secret field":                {store.KindIdentityProviders, Query{Filter: `secret eq "x"`}, "filter"},
		"another operator":              {KindUsers, Query{Filter: `username co "a"`}, "filter"},
		"or":                            {KindUsers, Query{Filter: `username eq "a" or username eq "b"`}, "filter"},
		"a text that does not end":      {KindUsers, Query{Filter: `username eq "a`}, "filter"},
		"no value":                      {KindUsers, Query{Filter: `username eq`}, "filter"},
		"a bare word":                   {KindUsers, Query{Filter: `username eq alice`}, "filter"},
		"an empty text":                 {KindUsers, Query{Filter: `username eq ""`}, "filter"},
		"a field twice":                 {KindUsers, Query{Filter: `group eq "a" and groups eq "b"`}, "filter"},
		"activity that is a text":       {KindUsers, Query{Filter: `active eq "true"`}, "filter"},
		"an unknown order":              {KindUsers, Query{Sort: "createdAt"}, "sort"},
		"an unknown order of routes":    {store.KindRoutes, Query{Sort: "nonsense"}, "sort"},
		"a forged cursor":               {store.KindRoles, Query{Limit: 1, Cursor: string(forged)}, "cursor"},
		"a cursor of another list":      {store.KindGroups, Query{Limit: 1, Cursor: p.NextCursor}, "cursor"},
		"a cursor under another filter": {store.KindRoles, Query{Limit: 1, Cursor: p.NextCursor, Filter: `name eq "x"`}, "cursor"},
		"no cursor at all":              {KindUsers, Query{Cursor: "!"}, "cursor"},
		"too many at once":              {KindUsers, Query{Limit: 1001}, "limit"},
		"fewer than none":               {KindUsers, Query{Limit: -1}, "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.List(t.Context(), c.kind, c.q)
			wantFault(t, err, c.path)
		})
	}
	for _, kind := range []string{"nonsense", store.KindSettings, store.KindMeta} {
		_, err := r.List(t.Context(), kind, Query{})
		wantCode(t, err, model.NotFound)
	}
}

// FuzzFilter asks that what was understood can be written again and is then
// understood alike.
func FuzzFilter(f *testing.F) {
	f.Add(`username eq "a and b" and active eq true`)
	f.Add(`a eq "x\"y" and b eq 1.5`)
	f.Add(`a eq "`)
	f.Fuzz(func(t *testing.T, s string) {
		terms, err := parseFilter(s)
		if err != nil {
			return
		}
		var parts []string
		for _, x := range terms {
			switch v := x.value.(type) {
			case string:
				parts = append(parts, x.field+" eq "+jsonText(v))
			default:
				parts = append(parts, fmt.Sprintf("%s eq %v", x.field, v))
			}
		}
		again, err := parseFilter(strings.Join(parts, " and "))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(terms) {
			t.Errorf("%q → %v → %v (%v)", s, terms, again, err)
		}
	})
}

func jsonText(s string) string {
	b, _ := encode(s)
	return string(b)
}
