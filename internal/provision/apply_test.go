package provision

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

const document = `{
 "settings":{"reverseProxyAuthentication":{"enabled":true}},
 "users":[{"username":"alice","groups":["staff"],"roles":["writer"],"credentials":[{"type":"password","password":"alice-password"},{"type":"link","provider":"corp","subject":"a1"}]},{"username":"bob","roles":["read-only"]}],
 "routes":[{"name":"orders-v1","paths":["/1.0/orders"],"service":"orders"}],
 "services":[` + ordersService + `],
 "groups":[{"name":"staff","roles":["read-only"]}],
 "roles":[` + readOnly + `,` + writer + `],
 "identityProviders":[{"name":"corp","type":"jwt","issuer":"https://idp.example.com","audiences":["api"]}],
 "expect":[{"as":"alice","request":"POST /1.0/orders","then":"allowed"}]}`

func TestADocumentIsOneRevisionWhateverItsOrder(t *testing.T) {
	r := newRoom(t)
	out := r.mustApply(document, ApplyOptions{Owner: "apply"})
	if out.Revision != 1 || len(out.Changes) != 10 || len(r.events) != 1 || len(r.published) != 1 || out.Object != nil {
		t.Errorf("%d changes in revision %d, %d events", len(out.Changes), out.Revision, len(r.events))
	}
	set, _ := r.CurrentSet(t.Context())
	if !set.Settings.ReverseProxyAuthentication.Enabled || set.Settings.IdentityHeaders.ID != "X-User-Id" || len(set.Expect) != 1 {
		t.Errorf("%+v", set)
	}
	if out := r.mustApply(document, ApplyOptions{Owner: "apply"}); len(out.Changes) != 0 || out.Revision != 1 {
		t.Errorf("applied again: %+v", out.Changes)
	}
	r.put(store.KindSettings, identityHeaders, `{"id":""}`)
	r.mustApply(`{"settings":{"reverseProxyAuthentication":{"enabled":true,"usernameHeader":"X-Login"}}}`, ApplyOptions{Owner: "apply"})
	set, _ = r.CurrentSet(t.Context())
	if set.Settings.IdentityHeaders.ID != "" || set.Settings.ReverseProxyAuthentication.UsernameHeader != "X-Login" {
		t.Error("a part of the settings that the document does not name has changed")
	}
}

func TestAllFaultsOfADocumentComeAtOnceInItsOwnPaths(t *testing.T) {
	r := newRoom(t).furnish()
	before := r.export()
	_, err := r.apply(`{
	 "settings":{"reverseProxyAuthentication":{"usernameHeader":"Cookie"}},
	 "services":[{"name":"zz","targets":[]},{"name":"aa","targets":[{"url":"ftp://x"}],"tls":{"cert":"c","key":"********"}}],
	 "routes":[{"name":"one","paths":["/x"],"service":"nowhere"},{"name":"one","paths":["/y"],"service":"zz"},{"paths":["/z"],"service":"zz"}],
	 "groups":[{"name":"g","roles":["none"]}],
	 "users":[{"username":"u","roles":["none"],"groups":["g"]},{"username":"v","emails":["x"]},{"username":"w","credentials":[{"type":"link","provider":"none","subject":"s"}]}],
	 "expect":[{"request":"GET /","then":"maybe"}]}`, ApplyOptions{Owner: "apply"})
	wantFault(t, err, "settings.reverseProxyAuthentication.usernameHeader", "services[0].targets", "services[1].targets[0].url",
		"services[1].tls.key", "routes[0].service", "routes[1].name", "routes[2].name", "groups[0].roles[0]",
		"users[0].roles[0]", "users[1].emails[0]", "users[2].credentials[0].provider", "expect[0].then")
	if r.export() != before {
		t.Error("a refused document left something behind")
	}
}

func TestApplyAsksForTheRolesOfWhatReallyChanges(t *testing.T) {
	r := newRoom(t)
	r.mustApply(document, ApplyOptions{Owner: "apply"})
	v, _ := r.Decode(KindDocument, []byte(strings.Replace(document, "10.0.0.5", "10.0.0.6", 1)))
	doc := v.(*model.Document)
	_, err := r.Apply(t.Context(), auditor, doc, ApplyOptions{})
	wantCode(t, err, model.PermissionDenied)
	_, err = r.Apply(t.Context(), provisioner, doc, ApplyOptions{})
	if e := wantCode(t, err, model.PermissionDenied); !strings.Contains(e.Message, "services") {
		t.Error(e.Message)
	}
	if _, err = r.Apply(t.Context(), operator, doc, ApplyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestPruneDeletesOnlyWhatTheSameOwnerMade(t *testing.T) {
	r := newRoom(t)
	r.put(store.KindRoles, "byhand", readOnlyUnnamed)
	r.mustApply(`{"roles":[{"name":"other","permissions":[]}],"users":[{"username":"other"}]}`, ApplyOptions{Owner: "file:other"})
	r.mustApply(document, ApplyOptions{Owner: "apply"})
	small := `{"roles":[` + writer + `],"users":[{"username":"alice","roles":["writer"]}],"expect":[]}`
	_, err := r.apply(strings.Replace(small, `"roles":["writer"]}]`, `"roles":["writer"],"groups":["staff"]}]`, 1), ApplyOptions{Owner: "apply", Prune: true})
	wantCode(t, err, model.Conflict)
	before := r.export()
	out, err := r.apply(small, ApplyOptions{Owner: "apply", Prune: true, DryRun: true})
	if err != nil || r.export() != before || len(out.Changes) == 0 {
		t.Fatal(out, err)
	}
	r.mustApply(small, ApplyOptions{Owner: "apply", Prune: true})
	if got := r.names(store.KindRoles, Query{}); got != "byhand other writer" {
		t.Errorf("roles: %s", got)
	}
	if got := r.names(KindUsers, Query{}); got != "alice other" {
		t.Errorf("users: %s", got)
	}
	if got := r.names(store.KindRoutes, Query{}) + r.names(store.KindServices, Query{}) + r.names(store.KindIdentityProviders, Query{}); got != "" {
		t.Errorf("left: %s", got)
	}
	set, _ := r.CurrentSet(t.Context())
	if !set.Settings.ReverseProxyAuthentication.Enabled {
		t.Error("pruning switched authentication off")
	}
}

func TestPruningWhatUsersStillHaveIsAConflict(t *testing.T) {
	r := newRoom(t)
	r.mustApply(document, ApplyOptions{Owner: "apply"})
	r.put(KindUsers, "carl", `{"groups":["staff"]}`)
	_, err := r.apply(`{"expect":[{"as":"alice","request":"GET /","then":"allowed"}],"roles":[`+readOnly+`,`+writer+`]}`, ApplyOptions{Owner: "apply", Prune: true})
	wantFault(t, err, "expect[0]") // alice goes too
	_, err = r.apply(`{"expect":[],"roles":[`+readOnly+`,`+writer+`]}`, ApplyOptions{Owner: "apply", Prune: true})
	if e := wantCode(t, err, model.Conflict); !strings.Contains(e.Message, "carl") {
		t.Error(e.Message)
	}
}

func TestUsersOfOneDocumentMayExchangeCredentials(t *testing.T) {
	r := newRoom(t).furnish()
	doc := func(a, b string) string {
		return `{"users":[{"username":"a","credentials":[{"type":"certificate","uri":"` + a + `"}]},{"username":"b","credentials":[{"type":"certificate","uri":"` + b + `"}]}]}`
	}
	r.mustApply(doc("x:1", "x:2"), ApplyOptions{Owner: "apply"})
	idA, idB := r.stored("a").ID, r.stored("b").ID
	r.mustApply(doc("x:2", "x:1"), ApplyOptions{Owner: "apply"})
	if a, b := r.stored("a"), r.stored("b"); a.Credentials[0].URI != "x:2" || b.Credentials[0].URI != "x:1" || a.ID != idA || b.ID != idB {
		t.Errorf("%+v %+v", a, b)
	}
	_, err := r.apply(doc("x:3", "x:3"), ApplyOptions{Owner: "apply"})
	wantFault(t, err, "users[1].credentials[0]")
	_, err = r.apply(`{"users":[{"username":"c","credentials":[{"type":"certificate","uri":"x:1"}]}]}`, ApplyOptions{Owner: "apply"})
	wantFault(t, err, "users[0].credentials[0]")
}

func TestWhatWasDoneAtRunTimeWinsOverTheBootFile(t *testing.T) {
	r := newRoom(t).furnish()
	o := ApplyOptions{Owner: "file:users.yaml", RuntimeWins: true}
	file := func(displayName string) string {
		return `{"users":[
		 {"username":"deactivated","displayName":"` + displayName + `"},
		 {"username":"deleted","displayName":"` + displayName + `"},
		 {"username":"inactive-in-file","active":` + map[string]string{"1": "false", "2": "true"}[displayName] + `},
		 {"username":"revoked","displayName":"` + displayName + `","credentials":[{"type":"password","password":"from-file"},{"type":"certificate","uri":"x:revoked"}]},
		 {"username":"own-password","credentials":[{"type":"password","password":"from-file-` + displayName + `"}]},
		 {"username":"file-password","credentials":[{"type":"password","password":"from-file-` + displayName + `"}]},
		 {"username":"put","credentials":[{"type":"password","password":"from-file"}]}]}`
	}
	r.mustApply(file("1"), o)
	r.put(KindUsers, "deactivated", `{"active":false}`)
	if _, err := r.Delete(t.Context(), root, KindUsers, "deleted", Condition{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.stored("revoked").Credentials {
		if err := r.DeleteCredential(t.Context(), root, KindUsers, "revoked", c.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "own-password", model.Credential{Type: model.Password, Password: "own"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "file-password", model.Credential{Type: model.APIKey}); err != nil {
		t.Fatal(err)
	}
	r.put(KindUsers, "put", `{"credentials":[{"type":"password","password":"by-put"},{"type":"certificate","uri":"x:put"}]}`)
	for range 2 { // the second time nothing may come back either
		r.mustApply(file("2"), o)
		if u := r.stored("deactivated"); u.Active || u.DisplayName != "2" {
			t.Errorf("%+v", u)
		}
		if r.stored("deleted") != nil {
			t.Error("a deleted user is back")
		}
		if u := r.stored("inactive-in-file"); !u.Active {
			t.Error("the file cannot activate whom only the file had deactivated")
		}
		if u := r.stored("revoked"); len(u.Credentials) != 0 || u.DisplayName != "2" {
			t.Errorf("revoked credentials are back: %+v", u.Credentials)
		}
		for name, want := range map[string]string{"own-password": "own", "file-password": "from-file-2", "put": "by-put"} {
			u := r.stored(name)
			if ok, _, _ := quickVerify(t.Context(), u.Credentials[len(u.Credentials)-1].Hash, want); !ok {
				ok, _, _ = quickVerify(t.Context(), u.Credentials[0].Hash, want)
				if !ok {
					t.Errorf("%s has another password than %s: %+v", name, want, u.Credentials)
				}
			}
		}
		if n := len(r.stored("put").Credentials); n != 2 {
			t.Errorf("the certificate of a PUT is gone: %d left", n)
		}
		if n := len(r.stored("file-password").Credentials); n != 2 {
			t.Errorf("the key made at run time is gone: %d left", n)
		}
	}
	// apply by hand is a PUT, and does not yield.
	r.mustApply(`{"users":[{"username":"deactivated"}]}`, ApplyOptions{Owner: "apply"})
	if !r.stored("deactivated").Active {
		t.Error("apply yields")
	}
}

func TestAUserTakenOutOfTheFileCanBePutInAgain(t *testing.T) {
	r := newRoom(t)
	o := ApplyOptions{Owner: "file:a", RuntimeWins: true}
	r.mustApply(`{"users":[{"username":"x"}]}`, o)
	r.mustApply(`{"users":[{"username":"y"}]}`, o)
	if _, err := r.Delete(t.Context(), root, KindUsers, "x", Condition{}); err != nil {
		t.Fatal(err)
	}
	r.mustApply(`{"users":[{"username":"x"}]}`, o)
	if r.stored("x") == nil {
		t.Error("x is still missing")
	}
}

func TestAFaultOfAUserThatIsPassedOverStillRefusesTheFile(t *testing.T) {
	r := newRoom(t)
	o := ApplyOptions{Owner: "file:a", RuntimeWins: true}
	r.mustApply(`{"users":[{"username":"x"}]}`, o)
	if _, err := r.Delete(t.Context(), root, KindUsers, "x", Condition{}); err != nil {
		t.Fatal(err)
	}
	_, err := r.apply(`{"users":[{"username":"x","emails":["bad"]},{"username":"y","credentials":[{"type":"password","password":"y"}]}]}`, o)
	wantFault(t, err, "users[0].emails[0]")
	if r.stored("y") != nil {
		t.Error("y was made, without a hash of its password")
	}
}

func TestAFileIsAppliedOnlyWhenItChanged(t *testing.T) {
	r := newRoom(t)
	o := ApplyOptions{Owner: "file:a", RuntimeWins: true, Digest: "one"}
	r.mustApply(`{"roles":[`+writer+`]}`, o)
	if d, _, err := r.applied(t.Context(), "file:a"); d != "one" || err != nil {
		t.Error(d, err)
	}
	r.put(store.KindRoles, "writer", `{"permissions":[{"routes":["x"],"methods":["GET"]}]}`)
	revision := r.revision()
	if out := r.mustApply(`{"roles":[`+writer+`]}`, o); len(out.Changes) != 0 || out.Revision != revision {
		t.Errorf("%+v", out)
	}
	o.Digest = "two"
	if out := r.mustApply(`{"roles":[`+writer+`]}`, o); len(out.Changes) != 1 {
		t.Errorf("%+v", out)
	}
	o.Digest = "three"
	if out := r.mustApply(`{"roles":[`+writer+`]}`, o); len(out.Changes) != 0 {
		t.Errorf("%+v", out)
	}
	if d, _, _ := r.applied(t.Context(), "file:a"); d != "three" {
		t.Errorf("a digest without changes is not remembered: %s", d)
	}
	o.Digest = "four"
	if _, err := r.apply(`{"groups":[{"name":"g","roles":["none"]}]}`, o); err == nil {
		t.Fatal("accepted")
	}
	if d, _, _ := r.applied(t.Context(), "file:a"); d != "three" {
		t.Errorf("the digest of a refused file is remembered: %s", d)
	}
}

func TestAnExportAppliedAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRoom(t)
		act(rt, r, rapid.IntRange(1, 12).Draw(rt, "steps"))
		before, revision := r.export(), r.revision()
		doc, err := r.Export(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		out, err := r.Apply(t.Context(), root, doc, ApplyOptions{Owner: "apply"})
		if err != nil {
			rt.Fatalf("the export is refused: %v\n%s", err, before)
		}
		if len(out.Changes) != 0 || r.revision() != revision || r.export() != before {
			rt.Fatalf("the export changes something: %+v", out.Changes)
		}
	})
}

func TestARollbackGivesTheExportOfThen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRoom(t)
		r.put(store.KindAdministrators, "root", `{"roles":["admin"],"credentials":[{"type":"password","password":"x"}]}`)
		exports := []string{r.export()} // by revision, from 1
		for range rapid.IntRange(2, 12).Draw(rt, "steps") {
			act(rt, r, 1)
			if r.revision() == int64(len(exports))+1 {
				exports = append(exports, r.export())
			}
		}
		n := rapid.IntRange(1, len(exports)).Draw(rt, "n")
		if _, err := r.Rollback(t.Context(), root, int64(n), Condition{}); err != nil {
			rt.Fatalf("to %d of %d: %v", n, len(exports), err)
		}
		if got := r.export(); got != exports[n-1] {
			rt.Fatalf("to %d of %d:\n%s\nwant\n%s", n, len(exports), got, exports[n-1])
		}
	})
}

// act does some of what administrators do; refusals are part of it.
func act(rt *rapid.T, r *room, steps int) {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(rt, label) }
	for range steps {
		name := pick("name", "a", "b", "c")
		other := pick("other", "a", "b", "c")
		try := func(kind, name, body string) { _, _ = r.tryPut(root, kind, name, body, Condition{}) }
		switch rapid.IntRange(0, 12).Draw(rt, "action") {
		case 0:
			try(store.KindRoles, name, `{"description":"`+other+`","permissions":[{"routes":["*"],"methods":["GET"]}]}`)
		case 1:
			try(store.KindServices, name, strings.ReplaceAll(ordersService, "orders", name))
		case 2:
			try(store.KindRoutes, name, `{"paths":["/`+name+`"],"service":"`+other+`"}`)
		case 3:
			try(store.KindGroups, name, `{"roles":["`+other+`"]}`)
		case 4, 5:
			try(KindUsers, name, `{"username":"`+pick("rename", name, strings.ToUpper(name), other)+`","active":`+pick("active", "true", "false")+
				`,"credentials":[{"type":"password","password":"`+other+`"},{"type":"certificate","uri":"x:`+other+`"}]}`)
		case 6:
			try(KindUsers, name, `{"roles":["`+other+`"],"groups":["`+other+`"],"attributes":{"x":[1,"`+other+`"]}}`)
		case 7:
			_, _ = r.AddCredential(r.t.Context(), root, KindUsers, name, model.Credential{Type: model.APIKey})
		case 8:
			if u := r.stored(name); u != nil && len(u.Credentials) > 0 {
				_ = r.DeleteCredential(r.t.Context(), root, KindUsers, name, u.Credentials[0].ID)
			}
		case 9, 10:
			kind := pick("kind", KindUsers, KindUsers, store.KindRoles, store.KindGroups, store.KindRoutes, store.KindServices)
			_, _ = r.Delete(r.t.Context(), root, kind, name, Condition{})
		case 11:
			try(store.KindSettings, reverseProxyAuthentication, `{"enabled":`+pick("enabled", "true", "false")+`}`)
		case 12:
			try(store.KindAdministrators, name, `{"roles":["`+pick("role", "admin", "auditor")+`"],"credentials":[{"type":"password","password":"x"}]}`)
		}
	}
}
