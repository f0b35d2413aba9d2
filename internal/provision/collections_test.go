package provision

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func TestRolesDecideWhoChangesWhat(t *testing.T) {
	r := newRoom(t).furnish()
	bodies := map[string]string{
		store.KindServices:          `{"targets":[{"url":"http://10.0.0.9"}]}`,
		store.KindRoutes:            `{"paths":["/x"],"service":"orders"}`,
		store.KindIdentityProviders: `{"type":"jwt","issuer":"https://b.example.com","audiences":["b"]}`,
		KindUsers:                   `{}`,
		store.KindGroups:            `{}`,
		store.KindRoles:             readOnlyUnnamed,
		store.KindAdministrators:    `{"roles":["auditor"]}`,
		store.KindSettings:          `{}`,
		store.KindExpect:            `[]`,
	}
	allowed := map[string][]string{
		"root":   {store.KindServices, store.KindRoutes, store.KindIdentityProviders, KindUsers, store.KindGroups, store.KindRoles, store.KindAdministrators, store.KindSettings, store.KindExpect},
		"oscar":  {store.KindServices, store.KindRoutes, store.KindIdentityProviders},
		"petra":  {KindUsers, store.KindGroups},
		"audrey": {},
		"nobody": {},
	}
	for _, a := range []Actor{root, operator, provisioner, auditor, {Name: "nobody"}} {
		for kind, body := range bodies {
			name := "new-" + a.Name
			switch kind {
			case store.KindSettings:
				name = "reverseProxyAuthentication"
			case store.KindExpect:
				name = "expect"
			}
			want := model.PermissionDenied
			for _, k := range allowed[a.Name] {
				if k == kind {
					want = model.Allowed
				}
			}
			if _, err := r.tryPut(a, kind, name, body, Condition{}); code(err) != want {
				t.Errorf("%s putting %s: %v, want %s", a.Name, kind, err, want)
			}
			if want == model.PermissionDenied {
				if e := r.lastEvent(); e.Outcome != "denied" || e.Actor != a.Name || e.Code != model.PermissionDenied {
					t.Errorf("the refusal of %s left no trace: %+v", a.Name, e)
				}
				_, err := r.Delete(t.Context(), a, kind, name, Condition{})
				wantCode(t, err, model.PermissionDenied)
			}
		}
	}
	for _, a := range []Actor{operator, auditor} {
		_, err := r.AddCredential(t.Context(), a, KindUsers, "alice", model.Credential{Type: model.APIKey})
		wantCode(t, err, model.PermissionDenied)
	}
	for _, a := range []Actor{operator, provisioner} {
		_, err := r.AddCredential(t.Context(), a, store.KindAdministrators, "new-root", model.Credential{Type: model.AdminToken})
		wantCode(t, err, model.PermissionDenied)
		wantCode(t, r.DeleteCredential(t.Context(), a, store.KindAdministrators, "new-root", "x"), model.PermissionDenied)
	}
}

const readOnlyUnnamed = `{"permissions":[{"routes":["*"],"methods":["GET"]}]}`

func TestAWriteIsOneRevisionOneEventAndPublishedBeforeItReturns(t *testing.T) {
	r := newRoom(t)
	a := root
	a.Reason, a.RequestID, a.ClientIP = "go live", "req-1", "192.0.2.1"
	out, err := r.tryPut(a, store.KindServices, "orders", ordersService, Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if !out.Created || out.Revision != 1 || out.Object.ETag != `"r1"` || out.Object.Revision != 1 {
		t.Errorf("%+v %+v", out, out.Object)
	}
	if len(r.published) != 1 || r.published[0].Revision != 1 || r.published[0].Services[0].Present.Value != "backend-secret" {
		t.Errorf("published: %+v", r.published)
	}
	e := r.lastEvent()
	if len(r.events) != 1 || e.Type != model.EventAdmin || e.Outcome != "allowed" || e.Revision != 1 || e.Actor != "root" ||
		e.Reason != "go live" || e.RequestID != "req-1" || e.ClientIP != "192.0.2.1" || len(e.Changes) != 1 {
		t.Errorf("event: %+v", e)
	}
	rev, err := r.RevisionByNumber(t.Context(), 1)
	if err != nil || rev.Actor != "root" || rev.Reason != "go live" || len(rev.Changes) != 1 || rev.Changes[0].Action != "create" {
		t.Errorf("revision: %+v %v", rev, err)
	}
}

func TestSecretsAreNowhereShown(t *testing.T) {
	r := newRoom(t).furnish()
	secrets := []string{"backend-secret", "front-end-secret-1234", "key-in-pem", "alice-password", "other-backend", r.stored("alice").Credentials[0].Hash}
	r.put(store.KindIdentityProviders, "edge", `{"name":"edge","type":"trustedHeader","header":"X-SSO-User","from":["10.0.0.0/8"],"secretHeader":"X-SSO-Secret","secret":"front-end-secret-1234"}`)
	r.put(store.KindServices, "tls", `{"name":"tls","targets":[{"url":"https://10.0.0.6"}],"tls":{"cert":"cert","key":"key-in-pem"}}`)
	r.put(store.KindServices, "orders", strings.Replace(ordersService, "backend-secret", "other-backend", 1))
	key, err := r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.APIKey})
	if err != nil || key.Secret == "" || key.Hash != "" {
		t.Fatalf("%+v %v", key, err)
	}
	secrets = append(secrets, key.Secret, r.stored("alice").Credentials[1].Hash)

	var shown []any
	for _, k := range []string{store.KindServices, store.KindIdentityProviders, KindUsers} {
		p, err := r.List(t.Context(), k, Query{})
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, p)
	}
	creds, _ := r.ListCredentials(t.Context(), KindUsers, "alice")
	revs, _ := r.Revisions(t.Context(), 0, 0)
	one, _ := r.RevisionByNumber(t.Context(), 1)
	shown = append(shown, creds, revs, one, r.events, r.export(), r.user("alice"))
	b, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if strings.Contains(string(b), s) {
			t.Errorf("%q is shown", s)
		}
	}
	if !strings.Contains(string(b), replaced) {
		t.Error("a changed secret leaves no mark in the diff")
	}
}

func TestAMaskKeepsTheStoredSecret(t *testing.T) {
	r := newRoom(t).furnish()
	o, err := r.Get(t.Context(), store.KindServices, "orders")
	if err != nil {
		t.Fatal(err)
	}
	s := o.Value.(*model.Service)
	if s.Present.Value != model.Mask {
		t.Fatalf("not masked: %q", s.Present.Value)
	}
	s.Retries = 3
	if _, err := r.Put(t.Context(), operator, store.KindServices, "orders", s, Condition{}); err != nil {
		t.Fatal(err)
	}
	if s.Present.Value != model.Mask {
		t.Error("the caller's own value was altered")
	}
	set, _ := r.CurrentSet(t.Context())
	if set.Services[0].Present.Value != "backend-secret" || set.Services[0].Retries != 3 {
		t.Errorf("%+v", set.Services[0])
	}
	_, err = r.tryPut(root, store.KindServices, "new", `{"name":"new","targets":[{"url":"http://10.0.0.5"}],"present":{"header":"X-K","value":"********"}}`, Condition{})
	wantFault(t, err, "present.value")
	_, err = r.tryPut(root, KindUsers, "bob", `{"username":"bob","credentials":[{"type":"password","hash":"********"}]}`, Condition{})
	wantFault(t, err, "credentials[0].hash")
}

func TestAnUnchangedPutMakesNoRevisionAndKeepsTheETag(t *testing.T) {
	r := newRoom(t).furnish()
	revision, events := r.revision(), len(r.events)
	for kind, body := range map[string]string{store.KindServices: ordersService, store.KindRoutes: ordersRoute, store.KindRoles: readOnly} {
		name := map[string]string{store.KindServices: "orders", store.KindRoutes: "orders-v1", store.KindRoles: "read-only"}[kind]
		before, _ := r.Get(t.Context(), kind, name)
		out := r.put(kind, name, body)
		if out.Revision != revision || len(out.Changes) != 0 || out.Created || out.Object.ETag != before.ETag {
			t.Errorf("%s: %+v", kind, out)
		}
	}
	out := r.put(KindUsers, "alice", `{"username":"alice","emails":["alice@example.com"],"groups":["staff"],"roles":["writer"],"credentials":[{"type":"password","password":"alice-password"}]}`)
	if len(out.Changes) != 0 || out.Object == nil {
		t.Errorf("the same password counts as a change: %+v", out.Changes)
	}
	if r.revision() != revision || len(r.events) != events {
		t.Errorf("revision %d → %d, %d events more", revision, r.revision(), len(r.events)-events)
	}
}

func TestConditionsGuardWrites(t *testing.T) {
	r := newRoom(t).furnish()
	o, _ := r.Get(t.Context(), store.KindRoles, "writer")
	body := `{"name":"writer","description":"x","permissions":[{"routes":["*"],"methods":["POST"]}]}`
	for _, c := range []struct {
		name, object string
		c            Condition
		want         model.Code
	}{
		{"a stale tag", "writer", Condition{IfMatch: `"r0"`}, model.PreconditionFailed},
		{"the tag of another spelling", "writer", Condition{IfMatch: strings.Trim(o.ETag, `"`)}, model.PreconditionFailed},
		{"a weak tag, which never matches", "writer", Condition{IfMatch: "W/" + o.ETag}, model.PreconditionFailed},
		{"any, of what is not there", "absent", Condition{IfMatch: "*"}, model.PreconditionFailed},
		{"a tag, of what is not there", "absent", Condition{IfMatch: o.ETag}, model.PreconditionFailed},
		{"creating what exists", "writer", Condition{IfNoneMatch: true}, model.Conflict},
		{"the tag", "writer", Condition{IfMatch: o.ETag, DryRun: true}, model.Allowed},
		{"one of several tags", "writer", Condition{IfMatch: `"r0", ` + o.ETag, DryRun: true}, model.Allowed},
		{"any", "writer", Condition{IfMatch: "*", DryRun: true}, model.Allowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.tryPut(root, store.KindRoles, c.object, strings.Replace(body, "writer", c.object, 1), c.c)
			wantCode(t, err, c.want)
			if c.c.IfNoneMatch {
				return
			}
			want := c.want
			if c.want == model.Allowed {
				want = model.Conflict // it is in use
			}
			_, err = r.Delete(t.Context(), root, store.KindRoles, c.object, c.c)
			wantCode(t, err, want)
		})
	}
	_, err := r.tryPut(root, store.KindSettings, identityHeaders, `{"id":"X-Id"}`, Condition{IfMatch: `"r0"`})
	wantCode(t, err, model.Allowed)
	_, err = r.tryPut(root, store.KindSettings, identityHeaders, `{"id":"X-Id2"}`, Condition{IfMatch: `"r0"`})
	wantCode(t, err, model.PreconditionFailed)
}

func TestADryRunTellsAllAndChangesNothing(t *testing.T) {
	r := newRoom(t).furnish()
	before, revision, events, published := r.export(), r.revision(), len(r.events), len(r.published)
	out, err := r.tryPut(root, store.KindRoles, "read-only", `{"name":"read-only","permissions":[{"routes":["orders-*"],"methods":["GET"]}]}`, Condition{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if out.Revision != revision+1 || len(out.Changes) != 1 || out.Changes[0].Action != "update" {
		t.Errorf("%+v", out)
	}
	if out.Impact.Users != 2 { // bob has the role, alice's group has it
		t.Errorf("impact: %+v", out.Impact)
	}
	out, err = r.tryPut(root, store.KindRoutes, "orders-v2", `{"name":"orders-v2","paths":["/2"],"service":"orders"}`, Condition{DryRun: true})
	if err != nil || !out.Created || len(out.Impact.Routes) != 1 {
		t.Errorf("%+v %v", out, err)
	}
	if _, err := r.Delete(t.Context(), root, KindUsers, "bob", Condition{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	_, err = r.tryPut(root, store.KindRoutes, "broken", `{"paths":["/3"],"service":"nowhere"}`, Condition{DryRun: true})
	wantFault(t, err, "service")
	if r.export() != before || r.revision() != revision || len(r.events) != events || len(r.published) != published {
		t.Error("the dry run left something behind")
	}
}

func TestASetThatDoesNotHoldTogetherIsRefusedWhole(t *testing.T) {
	r := newRoom(t).furnish()
	before := r.export()
	for name, c := range map[string]struct {
		kind, object, body string
		paths              []string
	}{
		"a route to nowhere":         {store.KindRoutes, "a", `{"paths":["/a"],"service":"nowhere"}`, []string{"service"}},
		"a route that lacks paths":   {store.KindRoutes, "a", `{"service":"orders","access":"open"}`, []string{"paths", "access"}},
		"a name that is none":        {store.KindRoutes, "A B", `{"paths":["/a"],"service":"orders"}`, []string{"name"}},
		"another name than the path": {store.KindRoutes, "a", `{"name":"b","paths":["/a"],"service":"orders"}`, []string{"name"}},
		"a shadowed route":           {store.KindRoutes, "shadowed", `{"paths":["/a"],"service":"orders"}`, []string{"paths[0]"}},
		"a group of unknown roles":   {store.KindGroups, "g", `{"roles":["read-only","none"]}`, []string{"roles[1]"}},
		"colliding headers":          {store.KindSettings, identityHeaders, `{"id":"x_user"}`, []string{"id"}},
		"a user header of the front": {store.KindSettings, reverseProxyAuthentication, `{"usernameHeader":"Host"}`, []string{"usernameHeader"}},
		"a policy test that fails":   {store.KindExpect, "expect", `[{"as":"bob","request":"GET /","then":"permission_denied"}]`, []string{"expect[0]"}},
		"a policy test of no code":   {store.KindExpect, "expect", `[{"request":"GET /","then":"perhaps"}]`, []string{"expect[0].then"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.tryPut(root, c.kind, c.object, c.body, Condition{})
			wantFault(t, err, c.paths...)
		})
	}
	if r.export() != before {
		t.Error("a refused change left something behind")
	}
}

func TestASecretHeaderMustNotBeAnothersUsernameHeader(t *testing.T) {
	r := newRoom(t)
	edge := `{"name":"edge","type":"trustedHeader","header":"X-SSO-User","from":["10.0.0.0/8"],"secretHeader":"X-SSO-Secret","secret":"0123456789abcdef"}`
	r.put(store.KindIdentityProviders, "edge", edge)
	other := strings.NewReplacer("edge", "other", "X-SSO-User", "x_sso_secret", "X-SSO-Secret", "X-Other").Replace(edge)
	_, err := r.tryPut(root, store.KindIdentityProviders, "other", other, Condition{})
	wantFault(t, err, "identityProviders[edge].secretHeader")
}

func TestWhatOthersNameIsNotDeleted(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(store.KindRoutes, "bearer", `{"paths":["/b"],"service":"orders","authenticate":{"anyOf":["basic",{"allOf":["bearer@corp","mtls"]}]}}`)
	for _, c := range []struct{ kind, name, by string }{
		{store.KindServices, "orders", "route bearer, route orders-v1; give them another service, or delete them first."},
		{store.KindRoles, "read-only", "group staff, user bob; take the role from them first."},
		{store.KindRoles, "writer", "user alice; take the role from them first."},
		{store.KindGroups, "staff", "user alice; take them out of the group first."},
		{store.KindIdentityProviders, "corp", "route bearer; take the provider out of their authenticate first."},
	} {
		_, err := r.Delete(t.Context(), root, c.kind, c.name, Condition{})
		if e := wantCode(t, err, model.Conflict); !strings.Contains(e.Message, c.by) {
			t.Errorf("%s/%s: %s", c.kind, c.name, e.Message)
		}
	}
	_, err := r.Delete(t.Context(), root, store.KindServices, "absent", Condition{})
	wantCode(t, err, model.NotFound)
	_, err = r.Delete(t.Context(), root, "nonsense", "absent", Condition{})
	wantCode(t, err, model.NotFound)
	for i := range 15 {
		r.put(KindUsers, "crowd"+string(rune('a'+i)), `{"groups":["staff"]}`)
	}
	_, err = r.Delete(t.Context(), root, store.KindGroups, "staff", Condition{})
	if e := wantCode(t, err, model.Conflict); !strings.Contains(e.Message, "13 more users") {
		t.Error(e.Message)
	}
}

// A link left behind would be another provider's to claim (better-auth
// GHSA-rjg6-39jm-rgg4: a provider id used again took over its users).
func TestLinksEndWithTheirProvider(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(store.KindIdentityProviders, "other", `{"type":"jwt","issuer":"https://b.example.com","audiences":["b"]}`)
	for _, p := range []string{"corp", "other"} {
		if _, err := r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.Link, Provider: p, Subject: "s1"}); err != nil {
			t.Fatal(err)
		}
	}
	before := r.export()
	revision := r.revision()
	out, err := r.Delete(t.Context(), operator, store.KindIdentityProviders, "corp", Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Warnings) != 1 || len(out.Changes) != 2 || out.Object != nil {
		t.Errorf("%+v", out)
	}
	for _, c := range r.stored("alice").Credentials {
		if c.Type == model.Link && c.Provider == "corp" {
			t.Error("the link is still there")
		}
	}
	if _, err := r.Rollback(t.Context(), root, revision, Condition{}); err != nil || r.export() != before {
		t.Errorf("the links do not come back with a rollback: %v", err)
	}
}

func TestSettingsAreReplacedWholeAndSayWhatTheySwitchOff(t *testing.T) {
	r := newRoom(t)
	o, err := r.Get(t.Context(), store.KindSettings, reverseProxyAuthentication)
	if err != nil || o.ETag != `"r0"` {
		t.Fatal(o, err)
	}
	if v := o.Value.(*model.ReverseProxyAuthentication); v.Enabled || v.UsernameHeader != "X-User" || v.LogoutURL != nil {
		t.Errorf("%+v", v)
	}
	out := r.put(store.KindSettings, reverseProxyAuthentication, `{"enabled":true,"usernameHeader":"X-Login","logoutUrl":"/bye"}`)
	if got := strings.Join(out.Warnings, "\n"); strings.Contains(got, "enabled") {
		t.Error(got)
	}
	// The trap of the API that this one is like: a PUT of one field resets the others.
	out = r.put(store.KindSettings, reverseProxyAuthentication, `{"csrfProtectionDisabled":true}`)
	got := strings.Join(out.Warnings, "\n")
	for _, want := range []string{"enabled is now false", "authentication_disabled", "csrfProtectionDisabled is now true", "logoutUrl is now null", "usernameHeader is now X-User"} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning of %q in: %s", want, got)
		}
	}
	out = r.put(store.KindSettings, identityHeaders, `{"email":"","id":"X-Uid"}`)
	got = strings.Join(out.Warnings, "\n")
	for _, want := range []string{"email is now empty", "id is now X-Uid"} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning of %q in: %s", want, got)
		}
	}
	if _, err := r.Delete(t.Context(), root, store.KindSettings, reverseProxyAuthentication, Condition{}); err != nil {
		t.Fatal(err)
	}
	revision := r.revision()
	if _, err := r.Delete(t.Context(), root, store.KindSettings, reverseProxyAuthentication, Condition{}); err != nil || r.revision() != revision {
		t.Errorf("resetting twice: %v", err)
	}
	o, _ = r.Get(t.Context(), store.KindSettings, reverseProxyAuthentication)
	if v := o.Value.(*model.ReverseProxyAuthentication); v.CSRFProtectionDisabled {
		t.Errorf("%+v", v)
	}
	_, err = r.Get(t.Context(), store.KindSettings, "nonsense")
	wantCode(t, err, model.NotFound)
}

func TestNothingIsAcknowledgedThatIsNotRecorded(t *testing.T) {
	r := newRoom(t).furnish()
	before := r.export()
	r.recordErr = errors.New("disk full")
	published, forgotten := len(r.published), len(r.forgotten)
	_, err := r.tryPut(root, store.KindRoutes, "a", `{"paths":["/a"],"service":"orders"}`, Condition{})
	wantCode(t, err, model.AuditUnavailable)
	_, err = r.Delete(t.Context(), root, KindUsers, "bob", Condition{})
	wantCode(t, err, model.AuditUnavailable)
	if r.export() != before || len(r.published) != published || len(r.forgotten) != forgotten {
		t.Error("a change that could not be recorded was made")
	}
	r.recordErr = nil
	if _, err := r.Delete(t.Context(), root, KindUsers, "bob", Condition{}); err != nil {
		t.Error(err)
	}
}

// failing is a store whose commit fails after everything was written.
type failing struct {
	store.Store
	fail bool
}

func (f *failing) Update(ctx context.Context, fn func(store.Writer) error) error {
	return f.Store.Update(ctx, func(w store.Writer) error {
		if err := fn(w); err != nil || !f.fail {
			return err
		}
		return errors.New("no space left on device")
	})
}

func TestAFailedCommitIsTakenBackInTheAudit(t *testing.T) {
	r := newRoom(t).furnish()
	f := &failing{Store: r.store, fail: true}
	r.over(f)
	before := r.export()
	published := len(r.published)
	_, err := r.Delete(t.Context(), root, KindUsers, "bob", Condition{})
	wantCode(t, err, model.ConfigurationUnavailable)
	e := r.lastEvent()
	if e.Outcome != "error" || e.Revision != r.revision()+1 || !strings.Contains(e.Reason, "no space left") {
		t.Errorf("%+v", e)
	}
	if r.export() != before || len(r.published) != published {
		t.Error("a change that failed took effect")
	}
}

func TestACallerThatGoesAwayLeavesNoDoubt(t *testing.T) {
	r := newRoom(t).furnish()
	ctx, cancel := context.WithCancel(t.Context())
	r.during = func(model.Event) { cancel() }
	if _, err := r.Delete(ctx, root, KindUsers, "bob", Condition{}); err != nil {
		t.Errorf("a change that was recorded was not made: %v", err)
	}
	r.during = nil
	if r.stored("bob") != nil {
		t.Error("bob is still there")
	}
	_, err := r.Delete(ctx, root, KindUsers, "alice", Condition{})
	wantCode(t, err, model.ConfigurationUnavailable)
}

func TestDecodeReportsAllFaultsAndRefusesReferences(t *testing.T) {
	r := newRoom(t)
	_, err := r.Decode(store.KindRoutes, []byte(`{"name":"a","pathz":[],"hosts":"x"}`))
	wantFault(t, err, "pathz", "hosts")
	_, err = r.Decode(store.KindServices, []byte(`{"name":"a","present":{"value":"${env:SECRET}"}}`))
	wantFault(t, err, "present.value")
	_, err = r.Decode(store.KindRoutes, []byte(`{"name":`))
	wantCode(t, err, model.RequestMalformed)
	_, err = r.Decode("nonsense", []byte(`{}`))
	wantCode(t, err, model.NotFound)
}

func TestAValueOfAnotherTypeIsRefused(t *testing.T) {
	r := newRoom(t)
	_, err := r.Put(t.Context(), root, store.KindRoutes, "a", &model.Service{}, Condition{})
	wantCode(t, err, model.Internal)
	_, err = r.Put(t.Context(), root, KindUsers, "a", model.User{}, Condition{})
	wantCode(t, err, model.Internal)
}
