package match

import (
	"strings"
	"testing"
)

func TestAPermissionsPathMatchesAsARoutesDoes(t *testing.T) {
	for _, c := range []struct {
		pattern   string
		fit, none []string
	}{
		{"/orders", []string{"/orders", "/orders/", "/orders/7"}, []string{"/", "/ordersx", "/orders;x", "/a/orders"}},
		{"/orders/", []string{"/orders/", "/orders/7"}, []string{"/orders"}},
		{"/", []string{"/", "/a", "/a/b"}, nil},
		{"=/orders", []string{"/orders"}, []string{"/orders/", "/orders/7", "/"}},
		{"~^/orders/[0-9]+$", []string{"/orders/7"}, []string{"/orders/7/x", "/orders/", "/x/orders/7"}},
		{"~^/a|/b$", []string{"/a", "/b"}, []string{"/a/secret", "/secret/b"}},
		{"/caf%c3%a9", []string{"/caf%C3%A9/x"}, []string{"/caf%c3%a9"}},
		{"/%7euser", []string{"/~user"}, nil},
		{"/files/a%2Fb", []string{"/files/a%2Fb", "/files/a%2Fb/c"}, []string{"/files/a/b"}},
	} {
		m, err := Pattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, p := range c.fit {
			if !m.Match(p) {
				t.Errorf("%s does not match %s", c.pattern, p)
			}
		}
		for _, p := range c.none {
			if m.Match(p) {
				t.Errorf("%s matches %s", c.pattern, p)
			}
		}
	}
}

func TestAPatternThatFitsNothingIsAnError(t *testing.T) {
	for _, p := range []string{"", "orders", "~/x", "~^/x", `~^/x\$`, "~^/($", "/a/../b", "/%2e%2e/a", "//a", "/a?b", "/a#b", `/a\b`, "/a%5Cb", "/%zz", "/a b", "/é"} {
		if _, err := Pattern(p); err == nil {
			t.Errorf("%q is taken", p)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	for _, p := range []string{"/orders", "=/orders/7", "~^/orders/[0-9]+$"} {
		m, err := Pattern(p)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { m.Match("/orders/7") }); n != 0 {
			t.Errorf("%s: %v allocations", p, n)
		}
	}
}

func TestRewritePathWorksOnSegmentBoundaries(t *testing.T) {
	for _, c := range []struct{ path, strip, add, want string }{
		{"/1.0", "/1.0", "", "/"},
		{"/1.0/", "/1.0", "", "/"},
		{"/1.0/orders/", "/1.0", "", "/orders/"},
		{"/1.0/orders", "/1.0/", "", "/orders"},
		{"/1.05", "/1.0", "", "/1.05"},
		{"/1.05/orders", "/1.0", "", "/1.05/orders"},
		{"/orders", "", "", "/orders"},
		{"/orders", "/", "", "/orders"},
		{"/orders", "", "/v1", "/v1/orders"},
		{"/orders", "", "/v1/", "/v1/orders"},
		{"/", "", "/v1", "/v1/"},
		{"/1.0", "/1.0", "/v1", "/v1"},
		{"/1.0/", "/1.0", "/v1", "/v1/"},
		{"/1.0/orders", "/1.0", "/v1/api", "/v1/api/orders"},
		{"/2.0/orders", "/1.0", "/v1", "/v1/2.0/orders"},
		{"/1.0//evil.example.com", "/1.0", "", "/evil.example.com"}, // verbatim: never an authority
		{"/1.0///a%2Fb//c", "/1.0", "/v1", "/v1/a%2Fb//c"},
	} {
		if got := RewritePath(c.path, c.strip, c.add); got != c.want {
			t.Errorf("RewritePath(%q, %q, %q) = %q, want %q", c.path, c.strip, c.add, got, c.want)
		}
	}
}

func FuzzRewritePath(f *testing.F) {
	f.Add("/1.0/orders", "/1.0", "/v1")
	f.Add("/a//..b", "/a", "/")
	f.Add("/x%2F/y", "", "/x/")
	f.Fuzz(func(t *testing.T, target, strip, add string) {
		p, err := ParseTarget(target, nil)
		if err != nil || target == "*" || p.Ambiguous || !plainPrefix(strip) || !plainPrefix(add) {
			t.Skip()
		}
		got := RewritePath(p.Canonical, strip, add)
		again, err := ParseTarget(got, nil)
		if err != nil || again.Canonical != got {
			t.Fatalf("RewritePath(%q, %q, %q) = %q, which reads as %+v, %v", p.Canonical, strip, add, got, again, err)
		}
	})
}

func plainPrefix(s string) bool {
	return s == "" || s[0] == '/' && slowDotsFree(s) && !strings.ContainsAny(s, "?#%\\;") && !strings.Contains(s, "//") &&
		strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

func slowDotsFree(s string) bool { return !slowDots(s) }
