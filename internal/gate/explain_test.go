package gate_test

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// explain asks about a request with these fields, which must be found allowed or not.
func (w *world) explain(allowed bool, fields map[string]string) {
	w.t.Helper()
	d, err := w.gate.Explain(context.Background(), w.plan, gate.Question{URL: "/anyone", Headers: fields})
	if err != nil || (d.Outcome == "allowed") != allowed {
		w.t.Fatalf("%v %+v", err, d)
	}
}

// alice's hash is a weak one, which her first login replaces.
func TestExplainingAPasswordUpgradesNoHashAndSparesTheLoginNothing(t *testing.T) {
	w := newWorld(t, settled)
	basic := map[string]string{"Authorization": password("alice", "alices")}
	w.explain(true, basic)
	w.explain(false, map[string]string{"Authorization": password("alice", "wrong")})
	w.hasher.Close()
	if n := w.upgraded.Load(); n != 0 {
		t.Fatalf("%d hashes were made anew", n)
	}
	ex := w.ask("GET /anyone", "Authorization", basic["Authorization"])
	w.hasher.Close()
	if n := w.upgraded.Load(); ex.Err != nil || n != 1 {
		t.Errorf("the login: %v, and %d hashes were made anew", ex.Err, n)
	}
	w.explain(true, basic) // known by now
	if user, credential := ex.Used(time.Hour); user != "1" || credential != "p" {
		t.Errorf("the last use of the login is %s %s", user, credential)
	}
}

func TestExplainingNotesNoLastUseAndRecordsNothing(t *testing.T) {
	w := newWorld(t, settled)
	ex := &gate.Exchange{Plan: w.plan, ID: "r1", Explain: true}
	ex.Method, ex.Request.Target, ex.Host, ex.Scheme, ex.Time = "GET", "/anyone", "api.example.com", "https", time.Now()
	ex.Fields = []model.Field{{Name: "X-API-Key", Value: w.key}}
	w.gate.Decide(context.Background(), ex)
	if user, _ := ex.Used(0); ex.Err != nil || user != "" || w.ledger.n != 0 {
		t.Errorf("%v, used by %q, %d recorded", ex.Err, user, w.ledger.n)
	}
}

func TestExplainingATokenMakesLinksAndRefreshesNobody(t *testing.T) {
	w := newWorld(t, settled)
	first := w.token("bob")
	w.explain(false, map[string]string{"Authorization": first}) // would be linked
	if n := len(w.people.users["2"].Credentials); w.people.asked != 0 || n != 1 {
		t.Fatalf("asked to provision %d times, %d credentials", w.people.asked, n)
	}
	if ex := w.ask("GET /anyone", "Authorization", first); ex.Err != nil || w.people.asked != 1 {
		t.Fatal(ex.Err, w.people.asked)
	}
	// A new token says something new, and its first real request is to have it noted.
	second := w.token("bob", func(c map[string]any) { c["preferred_username"], c["jti"] = "bob", "2" })
	w.directory.Invalidate("2")
	w.explain(true, map[string]string{"Authorization": second})
	if w.people.asked != 1 {
		t.Fatal("explaining refreshed the user")
	}
	if ex := w.ask("GET /anyone", "Authorization", second); ex.Err != nil || w.people.asked != 2 {
		t.Errorf("%v; asked to provision %d times", ex.Err, w.people.asked)
	}
}
