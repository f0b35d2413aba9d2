package authn

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

type named string

func (n named) Name() string                                        { return string(n) }
func (n named) Authenticate(context.Context, *model.Request) Result { return Result{} }

var table = []Method{named("mtls"), named("trustedHeader"), named("bearer"), named("apiKey"), named("basic")}

func place(name string) int {
	for i, m := range table {
		if m.Name() == name {
			return i
		}
	}
	panic(name)
}

func compile(t testing.TB, text string) *Requirement {
	t.Helper()
	var want model.Requirement
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	q, f := Compile(&want, table)
	if len(f) > 0 {
		t.Fatal(f)
	}
	return q
}

// results reads "basic=ok bearer@tokens=ok apiKey=invalid mtls=down".
func results(q *Requirement, text string) *Results {
	var r Results
	for _, w := range strings.Fields(text) {
		name, outcome, _ := strings.Cut(w, "=")
		method, provider, _ := strings.Cut(name, "@")
		if !q.Accepts(place(method)) {
			continue // the gate does not ask it
		}
		x := Result{Outcome: Proven, Proof: &Proof{Method: method, Provider: provider}}
		switch outcome {
		case "invalid":
			x = Refuse(model.CredentialInvalid, "")
		case "expired":
			x = Refuse(model.CredentialExpired, "")
		case "down":
			x = Refuse(model.IdentityUnavailable, "")
		}
		r.Set(place(method), x)
	}
	return &r
}

func TestRequirementsAreEvaluated(t *testing.T) {
	const all = `{"anyOf":["bearer","apiKey","basic",{"allOf":["mtls","basic"]}]}`
	for _, tc := range []struct{ name, want, presented, code, proofs string }{
		{"nothing presented", all, "", "credential_missing", ""},
		{"any one satisfies", all, "apiKey=ok", "", "apiKey"},
		{"several good ones are all handed on, in the table's order", all, "basic=ok bearer=ok", "", "bearer basic"},
		{"one bad credential is told, whatever else would satisfy", all, "apiKey=ok basic=invalid", "credential_invalid", ""},
		{"a bad one before a satisfying one in the table", all, "bearer=invalid basic=ok", "credential_invalid", ""},
		{"an expired one among good ones", all, "bearer=expired basic=ok", "credential_expired", ""},
		{"what cannot be checked is not called wrong", all, "bearer=down", "identity_unavailable", ""},
		{"what cannot be checked does not fall through", all, "bearer=down basic=ok", "identity_unavailable", ""},
		{"what is surely wrong counts before what cannot be checked", all, "bearer=down basic=invalid", "credential_invalid", ""},
		{"credentials of methods that are not named are ignored", `{"anyOf":["basic"]}`, "bearer=invalid apiKey=ok basic=ok", "", "basic"},
		{"and do not satisfy", `{"anyOf":["basic"]}`, "apiKey=ok", "credential_missing", ""},
		{"allOf with all", `{"allOf":["mtls","basic"]}`, "mtls=ok basic=ok", "", "mtls basic"},
		{"allOf with one missing", `{"allOf":["mtls","basic"]}`, "basic=ok", "credential_missing", "basic"},
		{"allOf with one bad", `{"allOf":["mtls","basic"]}`, "mtls=ok basic=invalid", "credential_invalid", ""},
		{"a named provider's proof", `{"anyOf":["bearer@tokens"]}`, "bearer@tokens=ok", "", "bearer"},
		{"CVE-2026-33496: another provider's proof is not enough", `{"anyOf":["bearer@tokens"]}`, "bearer@other=ok", "credential_invalid", ""},
		{"another provider's proof beside a good credential", `{"anyOf":["bearer@tokens","basic"]}`, "bearer@other=ok basic=ok", "credential_invalid", ""},
		{"one of two named providers", `{"anyOf":["bearer@a","bearer@b"]}`, "bearer@b=ok", "", "bearer"},
		{"a provider within an allOf", `{"anyOf":["basic",{"allOf":["mtls","bearer@b"]}]}`, "bearer@b=ok mtls=ok", "", "mtls bearer"},
		{"nested requirements", `{"allOf":[{"anyOf":["apiKey","basic"]},{"anyOf":["mtls","bearer"]}]}`, "basic=ok mtls=ok", "", "mtls basic"},
		{"nested requirements, half met", `{"allOf":[{"anyOf":["apiKey","basic"]},{"anyOf":["mtls","bearer"]}]}`, "basic=ok apiKey=ok", "credential_missing", "apiKey basic"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := compile(t, tc.want)
			var proofs [5]*Proof
			n, err := q.Evaluate(results(q, tc.presented), proofs[:])
			code := ""
			if err != nil {
				code = string(err.Code)
			}
			var got []string
			for _, p := range proofs[:n] {
				got = append(got, p.Method)
			}
			if code != tc.code || strings.Join(got, " ") != tc.proofs {
				t.Errorf("code %q, proofs %v", code, got)
			}
		})
	}
}

func TestMoreProofsThanFitAreRefused(t *testing.T) {
	q := compile(t, `{"anyOf":["bearer","apiKey","basic"]}`)
	if _, err := q.Evaluate(results(q, "bearer=ok apiKey=ok basic=ok"), make([]*Proof, 2)); err == nil || err.Code != model.CredentialInvalid {
		t.Errorf("got %v", err)
	}
}

func TestRequirementsThatNobodyCanMeetAreFaults(t *testing.T) {
	deep := model.Requirement{Method: "basic"}
	for range deepest + 1 {
		deep = model.Requirement{AnyOf: []model.Requirement{deep}}
	}
	for name, want := range map[string]*model.Requirement{
		"a method that is not in the table":    {Method: "session"},
		"nothing":                              {},
		"nested too deep":                      &deep,
		"one method at two providers, at once": {AllOf: []model.Requirement{{Method: "bearer", Provider: "a"}, {Method: "bearer", Provider: "b"}}},
	} {
		if q, f := Compile(want, table); len(f) == 0 || q != nil {
			t.Errorf("%s is no fault", name)
		}
	}
	if _, f := Compile(&model.Requirement{Method: "basic"}, make([]Method, MaxMethods+1)); len(f) == 0 {
		t.Error("a table of nine methods is no fault")
	}
}

func proof(method, id string, kind model.Kind, narrow bool) *Proof {
	return &Proof{Method: method, Narrow: narrow, Principal: directory.NewPrincipal(model.User{ID: id, Username: id, Kind: kind})}
}

func TestAllProofsBelongToOneUser(t *testing.T) {
	const (
		any    = `{"anyOf":["mtls","bearer","apiKey","basic"]}`
		both   = `{"allOf":["mtls","basic"]}`
		either = `{"anyOf":["apiKey",{"allOf":["mtls","basic"]}]}`
	)
	alice := func(m string) *Proof { return proof(m, "alice", model.Person, false) }
	app := func(m string) *Proof { return proof(m, "app", model.Application, false) }
	for _, tc := range []struct {
		name, want   string
		proofs       []*Proof
		user, client string
	}{
		{"one proof", any, []*Proof{alice("basic")}, "basic", ""},
		{"two of one user", any, []*Proof{alice("mtls"), alice("basic")}, "mtls", ""},
		{"two of different users", any, []*Proof{alice("mtls"), proof("basic", "bob", model.Person, false)}, "", ""},
		{"an application beside a person in an allOf", both, []*Proof{app("mtls"), alice("basic")}, "basic", "mtls"},
		{"the other way round", both, []*Proof{alice("mtls"), app("basic")}, "mtls", "basic"},
		{"an application beside a person without an allOf", any, []*Proof{app("mtls"), alice("basic")}, "", ""},
		{"two persons in an allOf", both, []*Proof{alice("mtls"), proof("basic", "bob", model.Person, false)}, "", ""},
		{"two applications in an allOf", both, []*Proof{app("mtls"), proof("basic", "app2", model.Application, false)}, "", ""},
		{"a service beside a person", both, []*Proof{proof("mtls", "svc", model.ServiceUser, false), alice("basic")}, "", ""},
		{"an application beside a service", both, []*Proof{app("mtls"), proof("basic", "svc", model.ServiceUser, false)}, "", ""},
		{"a pair in an allOf with a third that stands outside of it", either, []*Proof{app("mtls"), app("apiKey"), alice("basic")}, "", ""},
		{"a pair in an allOf within an anyOf", either, []*Proof{app("mtls"), alice("basic")}, "basic", "mtls"},
		{"a third user", `{"allOf":["mtls","bearer","basic"]}`, []*Proof{app("mtls"), alice("bearer"), proof("basic", "bob", model.Person, false)}, "", ""},
		{"several proofs of each", `{"allOf":["mtls","bearer","basic"]}`, []*Proof{app("mtls"), alice("bearer"), alice("basic")}, "bearer", "mtls"},
		{"one that narrows counts before one that does not", any, []*Proof{alice("mtls"), proof("apiKey", "alice", model.Person, true)}, "apiKey", ""},
		{"a proof without a user", any, []*Proof{{Method: "basic"}}, "", ""},
		{"no proof", any, nil, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			user, client, err := compile(t, tc.want).SameUser(tc.proofs)
			method := func(p *Proof) string {
				if p == nil {
					return ""
				}
				return p.Method
			}
			if method(user) != tc.user || method(client) != tc.client || (err == nil) != (tc.user != "") {
				t.Errorf("user %q client %q err %v", method(user), method(client), err)
			}
			if err != nil && err.Code != model.CredentialInvalid {
				t.Errorf("code %s", err.Code)
			}
		})
	}
}

// TestRequirementsAgreeWithAPlainReading compares Evaluate with the sentence of
// the contract: bad first, then nothing, then whether the tree holds.
func TestRequirementsAgreeWithAPlainReading(t *testing.T) {
	methods := []string{"mtls", "bearer", "apiKey", "basic"}
	var tree func(t *rapid.T, depth int) model.Requirement
	tree = func(t *rapid.T, depth int) model.Requirement {
		if depth == 0 || rapid.Bool().Draw(t, "leaf") {
			return model.Requirement{Method: rapid.SampledFrom(methods).Draw(t, "method")}
		}
		var list []model.Requirement
		for range rapid.IntRange(1, 3).Draw(t, "children") {
			list = append(list, tree(t, depth-1))
		}
		if rapid.Bool().Draw(t, "all") {
			return model.Requirement{AllOf: list}
		}
		return model.Requirement{AnyOf: list}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := tree(t, 3)
		q, f := Compile(&want, table)
		if len(f) > 0 {
			t.Fatal(f)
		}
		state := map[string]Outcome{}
		var r Results
		named := map[string]bool{}
		want.Leaves(func(l *model.Requirement) { named[l.Method] = true })
		bad, proven := false, 0
		for _, m := range methods {
			o := rapid.SampledFrom([]Outcome{NotMine, NotMine, Proven, Bad}).Draw(t, m)
			state[m] = o
			switch x := (Result{Outcome: o}); o {
			case Proven:
				x.Proof = &Proof{Method: m}
				r.Set(place(m), x)
			case Bad:
				r.Set(place(m), Refuse(model.CredentialInvalid, ""))
			}
			if named[m] && o == Bad {
				bad = true
			}
			if named[m] && o == Proven {
				proven++
			}
		}
		var holds func(n model.Requirement) bool
		holds = func(n model.Requirement) bool {
			switch {
			case n.Method != "":
				return state[n.Method] == Proven
			case n.AllOf != nil:
				for _, c := range n.AllOf {
					if !holds(c) {
						return false
					}
				}
				return true
			}
			for _, c := range n.AnyOf {
				if holds(c) {
					return true
				}
			}
			return false
		}
		expect := model.Code("")
		switch {
		case bad:
			expect = model.CredentialInvalid
		case proven == 0 || !holds(want):
			expect = model.CredentialMissing
		}
		var proofs [5]*Proof
		n, err := q.Evaluate(&r, proofs[:])
		got := model.Code("")
		if err != nil {
			got = err.Code
		}
		if got != expect || err == nil && n != proven {
			t.Fatalf("got %q with %d proofs, want %q with %d", got, n, expect, proven)
		}
	})
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	q := compile(t, `{"anyOf":["bearer","apiKey","basic",{"allOf":["mtls","basic"]}]}`)
	r := results(q, "bearer=ok")
	r.at[place("bearer")].Proof.Principal = directory.NewPrincipal(model.User{ID: "a"})
	var proofs [5]*Proof
	if n := testing.AllocsPerRun(100, func() {
		n, _ := q.Evaluate(r, proofs[:])
		q.SameUser(proofs[:n])
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
