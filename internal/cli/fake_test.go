package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/model"
)

// gateway is a stand-in for the admin API: it keeps what it is sent and answers
// in the API's shapes. What the real one makes of a request is tested with it.
type gateway struct {
	mu       sync.Mutex
	revision int
	objects  map[string]map[string]any // "users/alice"
	seen     []string                  // method, path and body of each write
}

func newGateway() *gateway { return &gateway{objects: map[string]map[string]any{}} }

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	user, password, basic := r.BasicAuth()
	if !(basic && user == "admin" && password == "opensesame") && r.Header.Get("Authorization") != "Bearer st_token" {
		refuse(w, 401, "credential_invalid", "The credential was not accepted.", "")
		return
	}
	body, _ := io.ReadAll(r.Body)
	if r.Method != "GET" {
		g.seen = append(g.seen, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)+" "+r.Header.Get("X-Reason")))
	}
	if r.URL.Path == "/v2/seen" { // for the scripts
		g.answer(w, 200, g.seen)
		return
	}
	g.route(w, r, strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/"), body)
}

func (g *gateway) route(w http.ResponseWriter, r *http.Request, path []string, body []byte) {
	switch {
	case path[0] == "apply":
		g.apply(w, r, body)
	case path[0] == "export":
		fmt.Fprint(w, `{"settings":{"reverseProxyAuthentication":{"enabled":true,"usernameHeader":"X-User"}},"services":[],"users":[{"username":"0123","expiresAt":null,"credentials":[{"type":"password","hash":"********"}]}]}`)
	case path[0] == "explain":
		fmt.Fprint(w, `{"outcome":"denied","status":403,"code":"permission_denied","route":"orders-v1","user":"bob","revision":7,"steps":[{"step":"match","outcome":"passed","detail":"orders-v1"},{"step":"authorise","outcome":"refused","detail":"no role of bob allows POST"}],"remedy":"Give bob a role that allows POST on orders-v1, such as orders-writer."}`)
	case path[0] == "auditEvents":
		g.events(w, r)
	case len(path) == 1 && r.Method == "GET":
		g.list(w, r, path[0])
	case len(path) == 1:
		g.create(w, r, path[0], body)
	case len(path) > 2:
		g.credentials(w, r, path, body)
	default:
		g.one(w, r, path[0]+"/"+path[1], body)
	}
}

func (g *gateway) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code, detail, faults string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	if faults == "" {
		faults = "[]"
	}
	fmt.Fprintf(w, `{"type":"about:blank","title":"Refused","status":%d,"code":%q,"detail":%q,"requestId":"req-1","errors":%s}`, status, code, detail, faults)
}

func (g *gateway) list(w http.ResponseWriter, r *http.Request, kind string) {
	if f := r.URL.Query().Get("filter"); strings.Contains(f, "nope") {
		refuse(w, 422, "invalid", "The query is not valid.", `[{"path":"filter","message":"\"nope\" is not a field"}]`)
		return
	}
	var names []string
	for k := range g.objects {
		if name, ok := strings.CutPrefix(k, kind+"/"); ok && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	start, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	end, next := min(start+min(limit, 2), len(names)), "" // pages of two: clients must follow
	if end < len(names) {
		next = strconv.Itoa(end)
	}
	items := []any{}
	for _, n := range names[start:end] {
		items = append(items, g.objects[kind+"/"+n])
	}
	g.answer(w, 200, map[string]any{"items": items, "nextCursor": next})
}

func (g *gateway) create(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	var o map[string]any
	_ = json.Unmarshal(body, &o)
	name, _ := o["name"].(string)
	if kind == "users" {
		name, _ = o["username"].(string)
	}
	key := kind + "/" + name
	switch {
	case g.objects[key] != nil:
		refuse(w, 409, "conflict", "There is a "+strings.TrimSuffix(kind, "s")+" "+name+" already.", "")
	case name == "twin": // a credential of it is another user's
		refuse(w, 409, "conflict", `The certificate belongs to the user "alice" already.`, "")
	case kind == "routes" && o["service"] == "nowhere":
		refuse(w, 422, "invalid", "The configuration does not hold together.", `[{"path":"routes[0].service","message":"names \"nowhere\", which is not a service; create it first or mend the name"}]`)
	case r.URL.Query().Get("dryRun") == "true":
		g.answer(w, 200, map[string]any{"revision": g.revision, "changes": []any{map[string]any{"kind": kind, "name": name, "action": "create", "after": o}}, "impact": map[string]any{"users": 1}})
	default:
		g.objects[key] = o
		g.answer(w, 201, o)
	}
}

func (g *gateway) one(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	o := g.objects[key]
	if o == nil {
		refuse(w, 404, "not_found", "There is no "+key+".", "")
		return
	}
	switch r.Method {
	case "GET":
		g.answer(w, 200, o)
	case "DELETE":
		if o["description"] == "in use" {
			refuse(w, 409, "conflict", `"orders" is used by route orders-v1; give them another service, or delete them first.`, "")
			return
		}
		delete(g.objects, key)
		w.WriteHeader(204)
	case "PATCH":
		if o["description"] == "busy" {
			refuse(w, 412, "precondition_failed", "It has changed since: its ETag is \"r8\" now.", "")
			return
		}
		var patch map[string]any
		_ = json.Unmarshal(body, &patch)
		for k, v := range patch {
			o[k] = v
		}
		g.answer(w, 200, o)
	}
}

func (g *gateway) credentials(w http.ResponseWriter, r *http.Request, path []string, body []byte) {
	owner := strings.Join(path[:2], "/")
	if g.objects[owner] == nil {
		refuse(w, 404, "not_found", "There is no "+owner+".", "")
		return
	}
	switch {
	case r.Method == "POST":
		var o map[string]any
		_ = json.Unmarshal(body, &o)
		g.revision++
		id := "k" + strconv.Itoa(g.revision)
		o["id"], o["prefix"], o["createdAt"] = id, "sp_"+id, "2026-11-22T10:00:00Z"
		if text, ok := o["publicKey"].(string); ok {
			o["publicKey"], o["keyID"] = model.NormalPublicKey(text)
		}
		g.objects[strings.Join(path, "/")+"/"+id] = o
		withSecret := map[string]any{"secret": "sp_" + id + "_generated"}
		for k, v := range o {
			withSecret[k] = v
		}
		g.answer(w, 201, withSecret)
	case len(path) == 3:
		items := []any{map[string]any{"id": "pw", "type": "password"}}
		for i := 1; i <= g.revision; i++ {
			if o := g.objects[strings.Join(path, "/")+"/k"+strconv.Itoa(i)]; o != nil {
				items = append(items, o)
			}
		}
		g.answer(w, 200, map[string]any{"items": items, "nextCursor": ""})
	default:
		g.one(w, r, strings.Join(path, "/"), body)
	}
}

func (g *gateway) apply(w http.ResponseWriter, r *http.Request, body []byte) {
	var d struct {
		Routes []struct{ Name, Service string }
		Groups []struct{ Name string }
	}
	_ = json.Unmarshal(body, &d)
	for i, x := range d.Routes {
		if x.Service == "nowhere" {
			refuse(w, 422, "invalid", "The configuration does not hold together.", fmt.Sprintf(`[{"path":"routes[%d].service","message":"names \"nowhere\", which is not a service"}]`, i))
			return
		}
	}
	changes := []any{}
	for _, x := range d.Groups {
		if g.objects["groups/"+x.Name] == nil {
			changes = append(changes, map[string]any{"kind": "groups", "name": x.Name, "action": "create", "after": x})
		} else {
			changes = append(changes, map[string]any{"kind": "groups", "name": x.Name, "action": "update",
				"before": map[string]any{"roles": []string{"a"}, "description": "old", "nested": map[string]any{"x": 1, "y": 2}},
				"after":  map[string]any{"roles": []string{"a", "b"}, "nested": map[string]any{"x": 1, "y": 3}, "new": true}})
		}
	}
	if r.URL.Query().Get("dryRun") != "true" {
		for _, x := range d.Groups {
			g.objects["groups/"+x.Name] = map[string]any{"name": x.Name}
		}
		g.revision = 8
	}
	g.answer(w, 200, map[string]any{"revision": 8, "changes": changes, "impact": map[string]any{"users": 3}, "warnings": []string{"authentication is switched off"}})
}

func (g *gateway) events(w http.ResponseWriter, r *http.Request) {
	const event = `{"id":"e1","time":"2026-11-22T10:33:00.5Z","node":"a","seq":1,"type":"access","outcome":"denied","code":"permission_denied","user":"bob","route":"orders-v1","method":"POST","path":"/1.0/orders","status":403,"clientIP":"192.0.2.1","requestId":"r1","reason":"no role of bob allows it"}`
	if r.URL.Query().Get("follow") == "true" {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, event)
		fmt.Fprintln(w, strings.Replace(event, `"bob"`, `"evil\u001b[2J\nname"`, 1))
		return
	}
	w.Header().Set("X-Filter", r.URL.Query().Get("filter"))
	g.seen = append(g.seen, "filter: "+r.URL.Query().Get("filter"))
	fmt.Fprintf(w, `{"items":[%s],"nextCursor":""}`, event)
}
