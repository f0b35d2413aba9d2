package authn

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/model"
)

func claimsOf(t testing.TB, text string) map[string]any {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClaimsBecomeAUsersFields(t *testing.T) {
	type want struct {
		Username, Email, Name string
		Groups, Roles         []string
		Attributes            map[string]any
		Err                   bool
	}
	for _, tc := range []struct {
		name    string
		mapping model.Mapping
		claims  string
		want    want
	}{
		{"only the username is mapped by default", model.Mapping{},
			`{"sub":"1","preferred_username":"alice","email":"a@x.org","groups":["staff"],"roles":["admin"]}`, want{Username: "alice"}},
		{"the subject serves where there is no preferred username", model.Mapping{}, `{"sub":"s-1"}`, want{Username: "s-1"}},
		{"an empty preferred username is as good as none", model.Mapping{}, `{"sub":"s-1","preferred_username":""}`, want{Username: "s-1"}},
		{"a preferred username that is no text is not replaced", model.Mapping{}, `{"sub":"s-1","preferred_username":7}`, want{Err: true}},
		{"a mapped username that is missing is not made up", model.Mapping{Username: "login"}, `{"sub":"s-1"}`, want{Err: true}},
		{"a username with controls is none", model.Mapping{}, `{"sub":"a\nb"}`, want{Err: true}},
		{"dotted paths lead into objects", model.Mapping{Roles: "resource.roles"}, `{"sub":"a","resource":{"roles":["reader","writer"]}}`,
			want{Username: "a", Roles: []string{"reader", "writer"}}},
		{"names of claims may hold dots", model.Mapping{Roles: "https://x.org/claims.roles", Groups: "cognito:groups"},
			`{"sub":"a","https://x.org/claims":{"roles":["r"]},"cognito:groups":["g"]}`, want{Username: "a", Roles: []string{"r"}, Groups: []string{"g"}}},
		{"a single text is one name, and is not split", model.Mapping{Groups: "groups", Roles: "roles"}, `{"sub":"a","groups":"domain admin","roles":"x,admin"}`,
			want{Username: "a", Groups: []string{"domain admin"}, Roles: []string{"x,admin"}}},
		{"hoop PR 128: names are exact and whole", model.Mapping{Groups: "groups"}, `{"sub":"a","groups":["non-admin-readers"]}`,
			want{Username: "a", Groups: []string{"non-admin-readers"}}},
		{"oauth2-proxy 3365: empty names, repeated ones and other types are left out", model.Mapping{Groups: "groups"}, `{"sub":"a","groups":["","g",7,null,"g",["h"],{"i":1}]}`,
			want{Username: "a", Groups: []string{"g"}}},
		{"groups that are an object are none", model.Mapping{Groups: "groups"}, `{"sub":"a","groups":{"g":true}}`, want{Username: "a"}},
		{"an e-mail address is taken", model.Mapping{Email: "email", DisplayName: "name"}, `{"sub":"a","email":"a@x.org","name":"Al Ice"}`,
			want{Username: "a", Email: "a@x.org", Name: "Al Ice"}},
		{"CVE-2026-40574: an address with two @ is none", model.Mapping{Email: "email"}, `{"sub":"a","email":"a@good.com@evil.com"}`, want{Username: "a"}},
		{"CVE-2026-40574: a quoted address is none", model.Mapping{Email: "email"}, `{"sub":"a","email":"\"a@evil.com\"@good.com"}`, want{Username: "a"}},
		{"an address that the provider calls unverified is none", model.Mapping{Email: "email"}, `{"sub":"a","email":"a@x.org","email_verified":false}`, want{Username: "a"}},
		{"an address that the provider calls verified is taken", model.Mapping{Email: "email"}, `{"sub":"a","email":"a@x.org","email_verified":true}`, want{Username: "a", Email: "a@x.org"}},
		{"a name with controls is none", model.Mapping{DisplayName: "name"}, `{"sub":"a","name":"x\u0000y"}`, want{Username: "a"}},
		{"CEL after an equals sign", model.Mapping{Username: "=claims.sub.lowerAscii() + '@corp'", Roles: "=claims.groups.filter(g, g.startsWith('api-'))"},
			`{"sub":"ALICE","groups":["api-read","other"]}`, want{Username: "alice@corp", Roles: []string{"api-read"}}},
		{"CEL that fails asserts nothing", model.Mapping{Roles: "=claims.nothing.here"}, `{"sub":"a"}`, want{Username: "a"}},
		{"CEL that fails gives no username", model.Mapping{Username: "=claims.nothing"}, `{"sub":"a"}`, want{Err: true}},
		{"attributes keep their JSON types", model.Mapping{Attributes: map[string]string{"level": "lvl", "n": "=size(claims.sub)", "none": "x"}},
			`{"sub":"abc","lvl":{"a":[1]}}`, want{Username: "abc", Attributes: map[string]any{"level": map[string]any{"a": []any{1.0}}, "n": 3.0}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &model.IdentityProvider{Name: "idp", Mapping: tc.mapping}
			m, f := CompileMapping(p, "identityProviders[0]")
			if len(f) > 0 {
				t.Fatal(f)
			}
			o, err := m.Outside(&Proof{Subject: "subject", Claims: claimsOf(t, tc.claims)})
			if (err != nil) != tc.want.Err {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			got := want{Username: o.Username, Email: o.Email, Name: o.DisplayName, Groups: o.Groups, Roles: o.Roles, Attributes: o.Attributes}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if o.Provider != p || o.Subject != "subject" || o.Asserted.Email != (tc.mapping.Email != "") || o.Asserted.Roles != (tc.mapping.Roles != "") {
				t.Errorf("provider, subject or asserted: %+v", o)
			}
		})
	}
}

func TestMappingsThatDoNotCompileAreFaults(t *testing.T) {
	p := &model.IdentityProvider{Mapping: model.Mapping{Username: "=claims.", Roles: "=nobody.knows", Attributes: map[string]string{"x": "=1 +"}}}
	_, f := CompileMapping(p, "identityProviders[3]")
	if len(f) != 3 || f[0].Path != "identityProviders[3].mapping.username" {
		t.Errorf("faults: %v", f)
	}
}

// oauth2-proxy #1071: large groups are taken. A list without end is refused, and not
// cut: a condition like !("suspended" in user.groups) would grant what it denies.
func TestMoreThanIsTakenInIsRefusedAndNotCut(t *testing.T) {
	list := func(n int) []any {
		out := []any{}
		for i := range n {
			out = append(out, fmt.Sprint("g", i))
		}
		return append(out, "g0", "", 7.0, strings.Repeat("x", 300)) // none of which counts
	}
	for _, tc := range []struct {
		name    string
		mapping model.Mapping
		claim   any
		groups  int
		err     bool
	}{
		{"as many groups as are taken", model.Mapping{Groups: "x"}, list(maxNames), maxNames, false},
		{"one more", model.Mapping{Groups: "x"}, list(maxNames + 1), 0, true},
		{"one more role", model.Mapping{Roles: "x"}, list(maxNames + 1), 0, true},
		{"of a claim that nobody maps", model.Mapping{Groups: "y"}, list(maxNames + 1), 0, false},
		{"CEL that would never end", model.Mapping{Roles: "=claims.x.map(a, claims.x.map(b, claims.x.map(c, a + b + c))).map(x, 'r')"}, list(500)[:500], 0, true},
		{"CEL over as many", model.Mapping{Groups: "=claims.x.filter(g, g.startsWith('g') && g.endsWith('9'))"}, list(maxNames)[:maxNames], maxNames / 10, false},
		{"attributes of any size", model.Mapping{Attributes: map[string]string{"x": "x"}}, strings.Repeat("a", maxExtra), 0, true},
		{"attributes of a size", model.Mapping{Attributes: map[string]string{"x": "x"}}, strings.Repeat("a", maxExtra-100), 0, false},
	} {
		m, f := CompileMapping(&model.IdentityProvider{Mapping: tc.mapping}, "p")
		if len(f) > 0 {
			t.Fatal(f)
		}
		begin := time.Now()
		o, err := m.Outside(&Proof{Claims: map[string]any{"sub": "a", "x": tc.claim}})
		if (err != nil) != tc.err || tc.err && !errors.Is(err, ErrTooMuch) || !tc.err && len(o.Groups) != tc.groups {
			t.Errorf("%s: %d groups, %v", tc.name, len(o.Groups), err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s took %v", tc.name, took)
		}
	}
}
