package provision

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func TestARollbackRestoresSecretsAndIsARevisionOfItsOwn(t *testing.T) {
	r := newRoom(t).furnish()
	n := r.revision()
	alice := *r.stored("alice")
	r.put(store.KindServices, "orders", `{"targets":[{"url":"http://10.0.0.9"}]}`)
	r.put(KindUsers, "alice", `{"credentials":[{"type":"password","password":"new"}],"active":false}`)
	if _, err := r.Delete(t.Context(), root, KindUsers, "bob", Condition{}); err != nil {
		t.Fatal(err)
	}
	r.put(KindUsers, "BOB", `{}`)
	r.put(KindUsers, "carl", `{"roles":["writer"]}`)
	last := r.revision()
	forgotten := len(r.forgotten)
	a := root
	a.Reason = "oops"
	out, err := r.Rollback(t.Context(), a, n, Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Revision != last+1 || r.lastEvent().Revision != last+1 || r.lastEvent().Reason != "oops" {
		t.Errorf("%+v", out)
	}
	set, _ := r.CurrentSet(t.Context())
	if set.Services[0].Present.Value != "backend-secret" || set.Revision != last+1 {
		t.Errorf("%+v", set.Services[0])
	}
	now := r.stored("alice")
	if now.Credentials[0].Hash != alice.Credentials[0].Hash || !now.Active || now.ID != alice.ID || r.stored("carl") != nil {
		t.Errorf("%+v", now)
	}
	warned := strings.Join(out.Warnings, "\n")
	for _, want := range []string{"alice is active again", "bob is back"} {
		if !strings.Contains(warned, want) {
			t.Errorf("no warning of %q in: %s", want, warned)
		}
	}
	if len(r.forgotten)-forgotten != 4 { // alice, both bobs, carl
		t.Errorf("forgotten: %v", r.forgotten[forgotten:])
	}
	if _, err = r.Rollback(t.Context(), root, last, Condition{}); err != nil {
		t.Fatal(err)
	}
	if r.stored("carl") == nil || r.stored("alice").Active {
		t.Error("a rollback cannot be rolled back")
	}
	if out, err = r.Rollback(t.Context(), root, r.revision(), Condition{}); err != nil || len(out.Changes) != 0 {
		t.Errorf("%+v %v", out, err)
	}
}

func TestARollbackIsGuardedLikeEveryChange(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(store.KindAdministrators, "root", `{"roles":["admin"],"credentials":[{"type":"password","password":"x"}]}`)
	last := r.revision()
	before := r.export()
	for name, c := range map[string]struct {
		a    Actor
		n    int64
		c    Condition
		want model.Code
	}{
		"to the future":                {root, last + 1, Condition{}, model.NotFound},
		"to nothing":                   {root, 0, Condition{}, model.NotFound},
		"by an auditor":                {auditor, last - 1, Condition{}, model.PermissionDenied},
		"by one who may not change it": {provisioner, last - 1, Condition{}, model.PermissionDenied},
		"under a stale tag":            {root, last - 1, Condition{IfMatch: etag(last - 1)}, model.PreconditionFailed},
		"that removes the last admin":  {root, last - 1, Condition{IfMatch: etag(last)}, model.Conflict},
		"by way of trial":              {root, last, Condition{DryRun: true, IfMatch: fmt.Sprintf(`"%d"`, last)}, model.Allowed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Rollback(t.Context(), c.a, c.n, c.c)
			wantCode(t, err, c.want)
		})
	}
	if r.export() != before || r.revision() != last {
		t.Error("a refused rollback left something behind")
	}
}

func TestARollbackMustHoldTogether(t *testing.T) {
	r := newRoom(t).furnish()
	n := r.revision()
	r.put(store.KindExpect, "expect", `[{"as":"bob","request":"GET /","then":"allowed"}]`)
	m := r.revision()
	r.put(store.KindExpect, "expect", `[]`)
	r.put(KindUsers, "bob", `{"roles":[]}`)
	if _, err := r.Rollback(t.Context(), root, m, Condition{DryRun: true}); err != nil {
		t.Errorf("bob comes back with his role: %v", err)
	}
	// What can no longer be restored says so.
	_ = r.store.Update(t.Context(), func(w store.Writer) error {
		current, _ := w.CurrentRevision(t.Context())
		return w.AddRevision(t.Context(), &store.Revision{Number: current + 1, Time: r.clock, Actor: "old version", Changes: []model.Change{}})
	})
	_, err := r.Rollback(t.Context(), root, n, Condition{})
	wantCode(t, err, model.Conflict)
}

func TestRevisionsAreListedNewestFirst(t *testing.T) {
	r := newRoom(t).furnish()
	list, err := r.Revisions(t.Context(), 0, 3)
	if err != nil || len(list) != 3 || list[0].Number != 8 || list[2].Number != 6 {
		t.Fatalf("%+v %v", list, err)
	}
	if list, err = r.Revisions(t.Context(), 6, 0); err != nil || len(list) != 5 || list[0].Number != 5 {
		t.Fatalf("%+v %v", list, err)
	}
	_, err = r.RevisionByNumber(t.Context(), 99)
	wantCode(t, err, model.NotFound)
}

func TestLastUsesAreStoredInTimeAndMakeNoRevision(t *testing.T) {
	r := newRoom(t).furnish()
	u := r.stored("alice")
	o, _ := r.Get(t.Context(), KindUsers, "alice")
	revision, forgotten := r.revision(), len(r.forgotten)
	at := time.Date(2030, 5, 5, 5, 5, 5, 0, time.UTC)
	for i := range 100 {
		r.TouchCredential(u.ID, u.Credentials[0].ID, at.Add(time.Duration(i)*time.Second/10))
	}
	r.TouchCredential(u.ID, "gone", at)
	r.TouchCredential("gone", "gone", at)
	if err := r.FlushTouches(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.stored("alice").Credentials[0].LastUsed; got == nil || !got.Equal(at) {
		t.Errorf("%v", got)
	}
	r.TouchCredential(u.ID, u.Credentials[0].ID, at.Add(2*time.Minute))
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.TouchCredential(u.ID, u.Credentials[0].ID, at.Add(time.Hour))
	if got := r.stored("alice").Credentials[0].LastUsed; !got.Equal(at.Add(2 * time.Minute)) {
		t.Errorf("%v", got)
	}
	now, _ := r.Get(t.Context(), KindUsers, "alice")
	if r.revision() != revision || len(r.forgotten) != forgotten || now.ETag != o.ETag {
		t.Error("a use counts as a change")
	}
	r.put(KindUsers, "alice", `{"displayName":"x","roles":["writer"],"groups":["staff"]}`)
	if r.stored("alice").Credentials[0].LastUsed == nil {
		t.Error("a change forgets the last use")
	}
	if _, err := r.Rollback(t.Context(), root, revision, Condition{}); err != nil || r.stored("alice").Credentials[0].LastUsed == nil {
		t.Errorf("a rollback forgets the last use: %v", err)
	}
}

func TestAHashIsUpgradedOnlyWhileItsPasswordStands(t *testing.T) {
	r := newRoom(t).furnish()
	u := r.stored("alice")
	revision := r.revision()
	stronger, _ := quickHash(t.Context(), "alice-password")
	if err := r.UpgradeHash(t.Context(), u.ID, u.Credentials[0].ID, stronger); err != nil {
		t.Fatal(err)
	}
	if got := r.stored("alice").Credentials[0]; got.Hash != stronger || got.ID != u.Credentials[0].ID || r.revision() != revision {
		t.Errorf("%+v", got)
	}
	r.put(KindUsers, "alice", `{"credentials":[{"type":"password","password":"new"}]}`)
	fresh := r.stored("alice").Credentials[0].Hash
	if err := r.UpgradeHash(t.Context(), u.ID, u.Credentials[0].ID, stronger); err != nil || r.stored("alice").Credentials[0].Hash != fresh {
		t.Errorf("an upgrade that came late brought the old password back: %v", err)
	}
	if err := r.UpgradeHash(t.Context(), "gone", "gone", stronger); err != nil {
		t.Error(err)
	}
	if _, err := r.Rollback(t.Context(), root, revision, Condition{}); err != nil {
		t.Fatal(err)
	}
	if got := r.stored("alice").Credentials[0].Hash; got != stronger {
		t.Error("the rollback restored the weaker hash")
	}
}

func TestManyChangesAreCountedNotTold(t *testing.T) {
	var l changeLog
	for i := range toldInAnswer + 50 {
		l.add(KindUsers, fmt.Sprint(i), nil, "x")
	}
	if all, short := l.all(), l.short(); len(all) != toldInAnswer+1 || len(short) != toldInEvent+1 {
		t.Errorf("%d, %d", len(all), len(short))
	}
	b, _ := json.Marshal(l.short()[toldInEvent])
	if string(b) != fmt.Sprintf(`{"kind":"users","name":"*","action":"create","after":{"more":%d}}`, toldInAnswer+50-toldInEvent) {
		t.Errorf("%s", b)
	}
}
