package identity

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sallyport/sallyport/internal/model"
)

func defaults() *model.Settings {
	s := &model.Settings{}
	s.Defaults()
	return s
}

func TestValuesBecomeHeaderFields(t *testing.T) {
	alice := &model.User{ID: "u-1", Username: "alice", Emails: []string{"alice@example.com", "second@example.com"}}
	for _, c := range []struct {
		name          string
		settings      func(*model.Settings)
		user          *model.User
		groups, roles []string
		client        *model.User
		want          []string
	}{
		{"everything that is known is sent", nil, alice, []string{"staff", "ops"}, []string{"read-only"}, &model.User{Username: "app"},
			[]string{"X-User: alice", "X-User-Id: u-1", "X-User-Email: alice@example.com", "X-User-Groups: staff,ops",
				"X-User-Roles: read-only", "X-Auth-Method: basic", "X-Client-Id: app"}},
		// Caddy CVE-2026-30851: a header that has no value must not arrive at all.
		{"a header without a value is not sent", nil, &model.User{ID: "u-2", Username: "bob"}, nil, []string{}, nil,
			[]string{"X-User: bob", "X-User-Id: u-2", "X-Auth-Method: basic"}},
		{"an empty e-mail address is none", nil, &model.User{ID: "u-2", Username: "bob", Emails: []string{""}}, []string{""}, nil, nil,
			[]string{"X-User: bob", "X-User-Id: u-2", "X-Auth-Method: basic"}},
		{"names are the settings', and an empty name is not sent", func(s *model.Settings) {
			s.ReverseProxyAuthentication.UsernameHeader = "Remote-User"
			s.IdentityHeaders = model.IdentityHeaders{Groups: "Remote-Groups"}
		}, alice, []string{"staff"}, []string{"read-only"}, &model.User{Username: "app"}, []string{"Remote-User: alice", "Remote-Groups: staff"}},
		{"a value cannot break out of its field", nil, &model.User{ID: "u\r\nX-Admin: 1", Username: "é, \"x\"%2C"}, []string{"a,admin", " b "}, nil, nil,
			[]string{"X-User: %C3%A9%2C %22x%22%252C", "X-User-Id: u%0D%0AX-Admin: 1", "X-User-Groups: a%2Cadmin,%20b%20", "X-Auth-Method: basic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := defaults()
			if c.settings != nil {
				c.settings(s)
			}
			h := Compile(s, nil)
			v := h.Values(c.user, c.groups, c.roles, "basic", c.client)
			got := []string{}
			for _, f := range h.Append([]model.Field{{Name: "Before", Value: "kept"}}, v)[1:] {
				got = append(got, f.Name+": "+f.Value)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"alice":               "alice",
		"Alice O'Brien <a@b>": "Alice O'Brien <a@b>",
		"a,b":                 "a%2Cb",
		`a"b`:                 "a%22b",
		"100%":                "100%25",
		"a\tb\x7f":            "a%09b%7F",
		" a b ":               "%20a b%20",
		"   ":                 "%20%20%20",
		"  a":                 "%20%20a",
		"zoë":                 "zo%C3%AB",
		"\xff":                "%FF",
	} {
		if got := encode(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// FuzzEncode: whatever the text, the value is one that may be sent, survives a
// peer's trimming, holds no separator, and decodes to the text again.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"alice", " a", "a,b", "%", "%zz", "é", "\r\nX: y", "\x00", "\xff\xfe", "a  ", "\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := encode(s)
		if !model.ValidFieldValue(got) || strings.Contains(got, ",") || strings.Trim(got, " \t") != got {
			t.Fatalf("%q becomes %q, which is no field value", s, got)
		}
		for i := range len(got) {
			if got[i] >= 0x7f || got[i] < ' ' || got[i] == '"' {
				t.Fatalf("%q becomes %q", s, got)
			}
		}
		if back, err := url.PathUnescape(got); err != nil || back != s {
			t.Fatalf("%q becomes %q and %q again (%v)", s, got, back, err)
		}
		joined := list([]string{s, "x", s})
		if parts := strings.Split(joined, ","); s != "" && (len(parts) != 3 || parts[0] != got || parts[2] != got) {
			t.Fatalf("%q in a list: %q", s, joined)
		}
	})
}
