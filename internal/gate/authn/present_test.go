package authn

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func fields(list ...string) *model.Request {
	r := &model.Request{}
	for i := 0; i+1 < len(list); i += 2 {
		r.Fields = append(r.Fields, model.Field{Name: list[i], Value: list[i+1]})
	}
	return r
}

func TestCredentialsOfASchemeAreFound(t *testing.T) {
	const a = "Authorization"
	for _, tc := range []struct {
		name   string
		fields []string
		value  string
		found  Presence
	}{
		{"none", nil, "", Absent},
		{"one", []string{a, "Bearer abc"}, "abc", Present},
		{"scheme and name in another case", []string{"AUTHORIZATION", "bEaReR abc"}, "abc", Present},
		{"several spaces", []string{a, "Bearer   abc "}, "abc", Present},
		{"another scheme", []string{a, "Basic abc"}, "", Absent},
		{"a scheme that begins alike", []string{a, "Bearer2 abc"}, "", Absent},
		{"each scheme has its own", []string{a, "Basic xyz", a, "Bearer abc"}, "abc", Present},
		{"the same twice", []string{a, "Bearer abc", a, "bearer abc"}, "abc", Present},
		{"two that differ", []string{a, "Bearer abc", a, "Bearer abd"}, "", Differing},
		{"two that differ in case", []string{a, "Bearer abc", a, "Bearer ABC"}, "", Differing},
		{"nothing behind the scheme", []string{a, "Bearer"}, "", Malformed},
		{"a comma right behind the scheme", []string{a, "Bearer,Basic def"}, ",Basic def", Present},
		{"a list is one credential, that no method takes", []string{a, "Bearer abc, Basic def"}, "abc, Basic def", Present},
		{"a good and a malformed one", []string{a, "Bearer abc", a, "Bearer a b"}, "", Differing},
		{"a good one and nothing", []string{a, "Bearer abc", a, "Bearer"}, "", Malformed},
		{"an alias of the name", []string{"Authorization_", "Bearer abc", "X-Authorization", "Bearer abc"}, "", Absent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			value, found := Authorization(fields(tc.fields...), "Bearer")
			if value != tc.value || found != tc.found {
				t.Errorf("got %q, %d", value, found)
			}
			if (PresenceDetail(found) != "") != (found == Differing || found == Malformed) {
				t.Error("the detail does not fit")
			}
		})
	}
}

func TestHeadersAreFoundByTheirExactName(t *testing.T) {
	r := fields("X-SSO-User", "alice", "x-sso-user", "alice", "X_SSO_User", "mallory")
	if v, found := Header(r, "X-Sso-User"); v != "alice" || found != Present {
		t.Errorf("got %q, %d", v, found)
	}
	if _, found := Header(fields("X-SSO-User", "alice", "X-SSO-User", "bob"), "X-SSO-User"); found != Differing {
		t.Errorf("two that differ: %d", found)
	}
	if _, found := Header(fields("X-SSO-User2", "alice"), "X-SSO-User"); found != Absent {
		t.Errorf("a longer name: %d", found)
	}
}

// FuzzAuthorization compares the reader with a regular expression of RFC 9110, 11.
func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{"Basic YTpi", "basic  YTpi=", "Basic a, b", "Basic", "Bearer x", "Basic\tx", " Basic x"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^[ \t]*(?i:Basic)(?:\z|[ \t]+|(,))((?s).*)\z`)
	f.Fuzz(func(t *testing.T, s string) {
		value, found := Authorization(fields("Authorization", s), "Basic")
		m := form.FindStringSubmatch(s)
		if m == nil {
			if found != Absent {
				t.Fatalf("%q is not absent: %d", s, found)
			}
			return
		}
		want := strings.Trim(m[1]+m[2], " \t")
		if value != want || (found == Malformed) != (want == "") {
			t.Fatalf("%q: %q %d", s, value, found)
		}
	})
}
