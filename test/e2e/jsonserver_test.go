//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// jsonServer starts json-server, a REST API with full CRUD over a file.
func jsonServer(t testing.TB) (url string) {
	t.Helper()
	dir := t.TempDir()
	db := write(t, filepath.Join(dir, "db.json"), `{"orders": [{"id": 1, "item": "anchor", "quantity": 2}, {"id": 2, "item": "rope", "quantity": 40}]}`)
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	p := launch(t, dir, nil, need(t, "node"), nodeModule(t, "json-server/lib/cli/bin.js"), "--host", "127.0.0.1", "--port", port, db)
	p.listens(address)
	return "http://" + address
}

const shop = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: shop, targets: [{url: "BACKEND"}]}]
roles:
  - {name: read-only, permissions: [{routes: ["orders*"], methods: [GET]}]}
  - {name: clerk, permissions: [{routes: [orders], methods: ["*"]}]}
  - {name: importer, permissions: [{routes: [orders], methods: [POST], paths: ["=/1.0/orders"]}]}
groups: [{name: clerks, roles: [clerk]}]
routes: [{name: orders, paths: [/1.0/orders], service: shop, rewrite: {stripPrefix: "/1.0"}}]
users:
  - {username: alice, groups: [clerks], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [read-only], credentials: [{type: password, password: bobs-password}]}
  - {username: importer, kind: service, roles: [importer]}
`

func TestRolesDecideWhoMayChangeWhatInARealRESTAPI(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		url := jsonServer(t)
		g := start(t, options{engine: engine, resources: withBackend(shop, url)})
		var key struct{ Secret, ID string }
		g.must(t, 201, "POST", "/v2/users/importer/credentials", `{"type":"apiKey"}`).into(t, &key)
		asImporter := header("X-API-Key", key.Secret)
		js := header("Content-Type", "application/json")

		type order struct {
			ID       int
			Item     string
			Quantity int
		}
		// stored asks json-server itself, around the gateway.
		stored := func() (o []order) {
			t.Helper()
			a, err := exchange(g.client, "GET", url+"/orders", "")
			if err != nil {
				t.Fatal(err)
			}
			a.into(t, &o)
			return o
		}

		t.Run("alice does everything", func(t *testing.T) {
			var o order
			a := g.call(t, "POST", "/1.0/orders", `{"item":"lantern","quantity":3}`, user("alice"), js)
			a.expect(t, "create", 201, "")
			a.into(t, &o)
			if o.ID != 3 || len(stored()) != 3 {
				t.Fatalf("created %+v, stored %v", o, stored())
			}
			if loc := a.header.Get("Location"); !strings.HasSuffix(loc, "/orders/3") {
				t.Errorf("Location %q", loc)
			}
			g.call(t, "PUT", "/1.0/orders/3", `{"item":"lantern","quantity":5}`, user("alice"), js).expect(t, "replace", 200, "")
			g.call(t, "PATCH", "/1.0/orders/3", `{"quantity":6}`, user("alice"), js).expect(t, "change", 200, "")
			g.get(t, "alice", "/1.0/orders/3").into(t, &o)
			if o.Quantity != 6 || o.Item != "lantern" {
				t.Errorf("read %+v", o)
			}
			var list []order
			page := g.get(t, "alice", "/1.0/orders?_page=1&_limit=2&_sort=id&_order=desc")
			page.into(t, &list)
			if len(list) != 2 || list[0].ID != 3 || page.header.Get("X-Total-Count") != "3" || page.header.Get("Link") == "" {
				t.Errorf("paged list %v with %v", list, page.header)
			}
			g.call(t, "DELETE", "/1.0/orders/3", "", user("alice")).expect(t, "delete", 200, "")
			g.get(t, "alice", "/1.0/orders/3").expect(t, "read what was deleted", 404, "")
			if len(stored()) != 2 {
				t.Errorf("stored %v", stored())
			}
			etag := g.get(t, "alice", "/1.0/orders/1").header.Get("Etag")
			if etag == "" {
				t.Fatal("json-server sends ETags")
			}
			g.get(t, "alice", "/1.0/orders/1", header("If-None-Match", etag)).expect(t, "conditional read", 304, "")
			g.call(t, "HEAD", "/1.0/orders/1", "", user("alice")).expect(t, "HEAD", 200, "")
		})

		t.Run("bob reads and changes nothing", func(t *testing.T) {
			before := fmt.Sprint(stored())
			for _, path := range []string{"/1.0/orders", "/1.0/orders/1", "/1.0/orders?item=rope"} {
				g.get(t, "bob", path).expect(t, path, 200, "")
			}
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
				for _, path := range []string{"/1.0/orders", "/1.0/orders/1"} {
					g.call(t, method, path, `{"item":"stolen"}`, user("bob"), js).expect(t, method+" "+path, 403, "permission_denied")
				}
			}
			// json-server honours this header; the gateway decides on the method that is sent.
			g.call(t, "POST", "/1.0/orders/1", `{}`, user("bob"), js, header("X-HTTP-Method-Override", "DELETE")).expect(t, "override", 403, "permission_denied")
			if after := fmt.Sprint(stored()); after != before {
				t.Errorf("the orders have changed: %s", after)
			}
		})

		t.Run("a service with an API key does what its role says", func(t *testing.T) {
			n := len(stored())
			g.call(t, "POST", "/1.0/orders", `{"item":"sail","quantity":1}`, asImporter, js).expect(t, "create", 201, "")
			if len(stored()) != n+1 {
				t.Errorf("stored %v", stored())
			}
			g.call(t, "POST", "/1.0/orders", `{"item":"sail","quantity":1}`, header("Authorization", "ApiKey "+key.Secret), js).expect(t, "create by Authorization", 201, "")
			g.call(t, "GET", "/1.0/orders", "", asImporter).expect(t, "read", 403, "permission_denied")
			g.call(t, "DELETE", "/1.0/orders/1", "", asImporter).expect(t, "delete", 403, "permission_denied")
			g.call(t, "POST", "/1.0/orders/1", `{}`, asImporter, js).expect(t, "another path", 403, "permission_denied")
			wrong := key.Secret[:len(key.Secret)-1] + map[bool]string{true: "a", false: "b"}[key.Secret[len(key.Secret)-1] != 'a']
			g.call(t, "POST", "/1.0/orders", `{}`, header("X-API-Key", wrong), js).expect(t, "a key with a wrong end", 401, "credential_invalid")
			g.must(t, 204, "DELETE", "/v2/users/importer/credentials/"+key.ID, "")
			g.call(t, "POST", "/1.0/orders", `{}`, asImporter, js).expect(t, "a revoked key", 401, "credential_invalid")
		})

		t.Run("a role that is taken away ends on the next request", func(t *testing.T) {
			g.call(t, "PATCH", "/1.0/orders/1", `{"quantity":7}`, user("alice"), js).expect(t, "before", 200, "")
			g.must(t, 200, "PATCH", "/v2/groups/clerks", `{"roles":["read-only"]}`)
			for range 5 {
				g.call(t, "PATCH", "/1.0/orders/1", `{"quantity":8}`, user("alice"), js).expect(t, "after", 403, "permission_denied")
			}
			g.must(t, 200, "PATCH", "/v2/groups/clerks", `{"roles":["clerk"]}`)
			g.call(t, "PATCH", "/1.0/orders/1", `{"quantity":9}`, user("alice"), js).expect(t, "given back", 200, "")
		})

		t.Run("every request left its event", func(t *testing.T) {
			a := g.call(t, "PATCH", "/1.0/orders/1", `{"quantity":10}`, user("alice"), js)
			decision, completion := g.eventsOf(t, a.header.Get("X-Request-Id"))
			if decision.Outcome != "allowed" || decision.User != "alice" || decision.Route != "orders" || decision.Service != "shop" || decision.Method != "PATCH" || decision.Path != "/1.0/orders/1" {
				t.Errorf("decision %+v", decision)
			}
			if completion.Status != 200 || completion.DurationMs <= 0 || completion.BytesOut < int64(len(a.body)) {
				t.Errorf("completion %+v", completion)
			}
			refused := g.call(t, "DELETE", "/1.0/orders/1", "", user("bob"))
			decision, _ = g.eventsOf(t, refused.header.Get("X-Request-Id"))
			if decision.Outcome != "denied" || decision.Step != "authorise" || decision.Code != "permission_denied" || decision.User != "bob" {
				t.Errorf("refusal %+v", decision)
			}
		})
		if s := fmt.Sprint(stored()); strings.Contains(s, "stolen") {
			t.Errorf("bob's change is there: %s", s)
		}
	})
}
