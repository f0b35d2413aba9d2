package gate_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

func TestASetThatDoesNotHoldTogetherIsRefusedWhole(t *testing.T) {
	w := newWorld(t, settled)
	with := func(old, new string) string { return strings.Replace(settled, old, new, 1) }
	orders := "{name: orders, paths: [/orders], service: orders}"
	for _, c := range []struct{ name, document, path, says string }{
		{"a route to an unknown service", with(orders, "{name: orders, paths: [/orders], service: nowhere}"), "routes[0].service", "not a service"},
		{"two routes that nothing separates", with(orders, orders+"\n  - {name: twin, paths: [/orders], service: orders}"), "routes[1]", "twin"},
		{"a target that is the gateway itself", with("http://10.0.0.5:8080", "http://127.0.0.1:8443"), "services[0].targets[0].url", "loop"},
		{"a target that is externalURL", with("http://10.0.0.5:8080", "https://api.example.com"), "services[0].targets[0].url", "loop"},
		{"a method without a provider", with(orders, "{name: orders, paths: [/orders], service: orders, authenticate: {anyOf: [trustedHeader]}}"), "routes[0].authenticate", "trustedHeader"},
		{"a provider that is not there", with(orders, `{name: orders, paths: [/orders], service: orders, authenticate: {anyOf: ["bearer@nobody"]}}`), "routes[0].authenticate", "nobody"},
		{"a public route that asks for credentials", with("access: public}", "access: public, authenticate: {anyOf: [basic]}}"), "routes[1].authenticate", "contradicts"},
		{"an edit of an identity header, in another spelling", with(orders, "{name: orders, paths: [/orders], service: orders, edit: {request: {set: {x_user_id: root}}}}"), "routes[0].edit.request.set.x_user_id", "identity"},
		{"an edit that removes one", with(orders, "{name: orders, paths: [/orders], service: orders, edit: {request: {remove: [Remote-User]}}}"), "routes[0].edit.request.remove[0]", "identity"},
		{"a present header of the identity namespace", with(`8080"}]}]`, `8080"}], present: {header: X-User-Id, value: "1"}}]`), "services[0].present.header", "identity"},
		{"a present header that carries callers' credentials", with(`8080"}]}]`, `8080"}], present: {header: Authorization, value: "Basic x"}}]`), "services[0].present.header", "credentials"},
		{"a condition that does not compile", with("methods: [GET]}]}", `methods: [GET], when: "user.nothing =="}]}`), "roles[0].permissions[0].when", ""},
		{"a rule that is no condition", with(orders, "{name: orders, paths: [/orders], service: orders, rules: [{name: r, require: '1 + 1'}]}"), "routes[0].rules[0]", ""},
		{"an expression that is not anchored", with("paths: [/orders]", `paths: ["~/orders"]`), "routes[0].paths[0]", "anchored"},
		{"a group with an unknown role", with("{name: staff, roles: [reader]}", "{name: staff, roles: [root]}"), "groups[0].roles[0]", "root"},
		{"a username header that is another's once folded", with("enabled: true", "enabled: true, usernameHeader: x_user_id"), "settings.identityHeaders.id", "same header"},
		{"a username header that frames", with("enabled: true", "enabled: true, usernameHeader: Content-Length"), "settings.reverseProxyAuthentication.usernameHeader", "framing"},
		{"a provider without audiences", with("audiences: [api], ", ""), "identityProviders[0].audiences", "empty"},
		{"two providers for the same tokens", with("provision: match}]", "provision: match}, {name: twin, type: jwt, issuer: \"https://idp.example.com\", audiences: [api, other], keyFile: keys.pem}]"), "identityProviders[1]", ""},
	} {
		set, faults := parse(c.document)
		if len(faults) == 0 {
			_, faults = gate.Compile(set, w.env)
		}
		found := false
		for _, f := range faults {
			found = found || strings.HasPrefix(f.Path, c.path) && strings.Contains(f.Message, c.says)
		}
		if !found {
			t.Errorf("%s: no fault at %s that says %q among %v", c.name, c.path, c.says, faults)
		}
	}
}

func TestMethodsThatNeedWhatIsNotThereAreNoDefault(t *testing.T) {
	w := newWorld(t, settled)
	env := w.env
	env.ClientCA = false
	set, _ := parse(strings.Replace(settled, "{name: orders, paths: [/orders], service: orders}", "{name: orders, paths: [/orders], service: orders, authenticate: {anyOf: [mtls]}}", 1))
	if _, f := gate.Compile(set, env); len(f) == 0 {
		t.Error("mtls without a clientCA leaves a route that nobody can pass")
	}
}

// Traefik GHSA-6jwx-7vp4-9847: an encoded slash took the route without a guard.
func TestAnOpenVerbatimRouteBesideAClosedOneIsWarnedOf(t *testing.T) {
	w := newWorld(t, settled)
	orders := "{name: orders, paths: [/orders], service: orders}"
	for access, warned := range map[string]bool{"public": true, "optional": true, "permitted": false} {
		for path, verbatim := range map[string]bool{"verbatim": true, "canonical": false} {
			set, faults := parse(strings.Replace(settled, orders, orders+"\n  - {name: all, paths: [/], service: orders, path: "+path+", access: "+access+"}", 1))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			plan, faults := gate.Compile(set, w.env)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			f := plan.Warnings()
			if (len(f) > 0) != (warned && verbatim) {
				t.Errorf("%s, %s: %v", access, path, f)
			}
			if len(f) > 0 && (f[0].Path != "routes[1].path" || !strings.Contains(f[0].Message, `GET /orders%2Fx past "orders" (permitted)`)) {
				t.Errorf("%v", f)
			}
		}
	}
}

func TestAnIntrospectionProviderMakesBearerAWay(t *testing.T) {
	provider := `identityProviders: [{name: opaque, type: introspection, endpoint: "https://idp.example.com/i", clientID: gw, clientSecret: s, audiences: [api]}]
`
	document := settled[:strings.Index(settled, "identityProviders:")] + provider
	w := newWorld(t, document)
	ex := w.ask("GET /orders")
	if got := strings.Join(ex.Challenges(), "; "); !strings.Contains(got, "Bearer") {
		t.Errorf("challenges %q", got)
	}
	// Nobody can be asked here: unavailable, and never a wrong credential.
	if ex := w.ask("GET /orders", "Authorization", "Bearer opaque"); ex.Code() != model.IdentityUnavailable {
		t.Errorf("%s %s", ex.Code(), ex.Detail)
	}
	if ex := w.ask("GET /orders", "Authorization", "Bearer "+w.token("alice")); ex.Code() != model.CredentialInvalid {
		t.Errorf("a JWT: %s %s", ex.Code(), ex.Detail)
	}
	for method, good := range map[string]bool{"bearer": true, "bearer@opaque": true, "mtls@opaque": false, "trustedHeader@opaque": false} {
		set, f := parse(strings.Replace(document, "paths: [/orders], service: orders", `paths: [/orders], service: orders, authenticate: {anyOf: ["`+method+`"]}`, 1))
		if len(f) == 0 {
			_, f = gate.Compile(set, w.env)
		}
		if (len(f) == 0) != good {
			t.Errorf("%s: %v", method, f)
		}
	}
}
