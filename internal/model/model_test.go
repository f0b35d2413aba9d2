package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestDurationsAndSizesReadWhatTheyWrite(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "500ms": 500 * time.Millisecond, "90s": 90 * time.Second, "15m": 15 * time.Minute, "8h": 8 * time.Hour} {
		var d, again Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.D() != want {
			t.Errorf("%s: %v %v", text, d, err)
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s is written %s, which reads %v %v", text, d, again, err)
		}
	}
	for _, bad := range []string{"", "5", "-1s", "soon", "1 m"} {
		if err := new(Duration).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a duration", bad)
		}
	}
	for text, want := range map[string]Size{"0": 0, "32KiB": 32 << 10, "10MiB": 10 << 20, "1 GiB": 1 << 30, "1kB": 1000, "77": 77, "5B": 5} {
		var s, again Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d %v", text, s, err)
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%s is written %s, which reads %d %v", text, s, again, err)
		}
	}
	for _, bad := range []string{"", "-1", "10 parsecs", "99999999999999999TiB", "1.5MiB"} {
		if err := new(Size).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a size", bad)
		}
	}
}

func TestNamesAndUsernames(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "orders-v1": true, "0.x_y": true, "": false, "-a": false, "A": false, "a b": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false} {
		if ValidName(name) != want {
			t.Errorf("name %q: %v", name, !want)
		}
	}
	for name, want := range map[string]bool{"alice": true, "Ärzte GmbH": true, "a@b": true, "": false, "a\nb": false, "a\x7f": false, "\xff": false,
		strings.Repeat("ä", 254): true, strings.Repeat("ä", 255): false, "a\u0085b": false} {
		if ValidUsername(name) != want {
			t.Errorf("username %q: %v", name, !want)
		}
	}
}

// oauth2-proxy CVE-2026-40574: several @ passed a check of the domain.
func TestAnAddressHasOneAt(t *testing.T) {
	for e, want := range map[string]bool{"a@example.com": true, `"a@evil.com"@good.com`: false, "a@good.com@evil.com": false, "@x": false, "x@": false, "a b@c": false, "a,b@c": false} {
		if ValidEmail(e) != want {
			t.Errorf("%q: %v", e, !want)
		}
	}
}

func TestFold(t *testing.T) {
	for _, alias := range []string{"X-User", "x_user", "X.User", "HTTP_X_USER", "http-x-user", "X--U~s!er"} {
		if Fold(alias) != "xuser" {
			t.Errorf("%q folds to %q", alias, Fold(alias))
		}
	}
}

func TestNetworksHaveOneSpelling(t *testing.T) {
	for text, want := range map[string]string{"10.1.2.3": "10.1.2.3/32", "10.1.2.3/8": "10.0.0.0/8", "::ffff:10.0.0.0/104": "10.0.0.0/8", "2001:db8::/32": "2001:db8::/32"} {
		p, err := ParsePrefix(text)
		if err != nil || p.String() != want {
			t.Errorf("%s: %v %v", text, p, err)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "example.com", "::ffff:0:0/64", "fe80::1%eth0"} {
		if p, err := ParsePrefix(bad); err == nil {
			t.Errorf("%q is taken for %s", bad, p)
		}
	}
	ps, _ := ParsePrefixes([]string{"10.0.0.0/8"}, "")
	if !ps.Contains(netip.MustParseAddr("::ffff:10.1.1.1")) || ps.Contains(netip.Addr{}) || Prefixes(nil).Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Error("mapped, zero or empty")
	}
}

func TestHeadersThatTheGatewayMaySet(t *testing.T) {
	for _, ok := range []string{"X-User", "REMOTE_USER", "X-Backend-Key"} {
		if msg := OwnHeaderFault(ok); msg != "" {
			t.Errorf("%s %s", ok, msg)
		}
	}
	for _, bad := range []string{"", "X User", "Host", "Via", "CDN-Loop", "Forwarded", "X-Forwarded-User", "x_forwarded_for", "Connection", "Content_Length",
		"Transfer-Encoding", "Authorization", "Cookie", "X-Request-Id", "--", "TE", "Upgrade"} {
		if OwnHeaderFault(bad) == "" {
			t.Errorf("%q may be set", bad)
		}
	}
}

func TestRequirementsReadWhatTheyWrite(t *testing.T) {
	for _, text := range []string{`"basic"`, `"bearer@tokens"`, `{"anyOf":["bearer","apiKey",{"allOf":["mtls","basic"]}]}`, `{"allOf":["mtls","basic"]}`} {
		var r Requirement
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if out, _ := json.Marshal(r); string(out) != text {
			t.Errorf("%s is written %s", text, out)
		}
	}
	for _, bad := range []string{`"none"`, `"bearer@"`, `{}`, `{"anyOf":[]}`, `{"anyOf":["basic"],"allOf":["basic"]}`, `{"oneOf":["basic"]}`, `3`} {
		if err := json.Unmarshal([]byte(bad), new(Requirement)); err == nil {
			t.Errorf("%s is taken for a requirement", bad)
		}
	}
}

func TestPathPatterns(t *testing.T) {
	for _, ok := range []string{"/", "/1.0/orders", "=/x", "~^/x/[0-9]+$", "/caf%C3%A9", "/a;b"} {
		if msg := PathPatternFault(ok); msg != "" {
			t.Errorf("%s %s", ok, msg)
		}
	}
	for _, bad := range []string{"", "orders", "/a/../b", "//a", "/a?b", "/a#b", "~/x", "~^/x", "~^/([$", "/é", `/a\b`} {
		if PathPatternFault(bad) == "" {
			t.Errorf("%q is taken for a pattern", bad)
		}
	}
}

func TestMatchName(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{{"*", "orders", true}, {"orders-*", "orders-v1", true}, {"orders-*", "orders", false}, {"*-v1", "orders-v1", true}, {"a*c*e", "abcde", true},
		{"a*c*e", "abde", false}, {"orders", "orders", true}, {"orders", "orders2", false}, {"", "", true}, {"*a", "ba", true}} {
		if MatchName(c.pattern, c.name) != c.want {
			t.Errorf("%s on %s: %v", c.pattern, c.name, !c.want)
		}
	}
}

func TestEveryCodeHasTheStatusOfTheContract(t *testing.T) {
	for code, status := range map[Code]int{RequestMalformed: 400, PathAmbiguous: 400, CredentialMissing: 401, CredentialInvalid: 401, CredentialExpired: 401,
		PermissionDenied: 403, CSRFFailed: 403, OriginRefused: 403, AddressRefused: 403, RouteNotFound: 404, MethodNotAllowed: 405, BodyTooLarge: 413,
		URITooLong: 414, HeadersTooLarge: 431, Misdirected: 421, RateLimited: 429, LoginThrottled: 429, UpstreamUnreachable: 502, UpstreamInvalid: 502,
		UpstreamTimeout: 504, AuthenticationDisabled: 503, IdentityUnavailable: 503, ConfigurationUnavailable: 503, AuditUnavailable: 503, Overloaded: 503,
		LoopDetected: 508, Invalid: 422, NotFound: 404, Conflict: 409, PreconditionFailed: 412, UnsupportedMediaType: 415} {
		if code.Status() != status || !code.Valid() {
			t.Errorf("%s is %d", code, code.Status())
		}
	}
	if Code("made_up").Valid() || Code("made_up").Status() != 500 {
		t.Error("a code outside the set is one of it")
	}
}

func TestErrorsCarryTheirCauseForLogsAlone(t *testing.T) {
	cause := errors.New("the disk")
	e := NewError(AuditUnavailable, "Not now.").WithCause(cause)
	if !errors.Is(e, cause) || e.Message != "Not now." {
		t.Error("the cause is lost, or published")
	}
	if got := AsError(fmt.Errorf("doing x: %w", e)); got != e {
		t.Errorf("%v", got)
	}
	if got := AsError(cause); got.Code != Internal || got.Err != cause {
		t.Errorf("an unforeseen error is %v", got)
	}
	if AsError(nil) != nil {
		t.Error("no error is one")
	}
}

func TestProvidersThatTrustTooMuchAreRefused(t *testing.T) {
	edge := IdentityProvider{Name: "edge", Type: ProviderTrustedHeader, Provision: ProvisionJIT, Header: "X-SSO-User"}
	for name, change := range map[string]func(*IdentityProvider){
		"a header from anybody":     func(*IdentityProvider) {},
		"an address without secret": func(p *IdentityProvider) { p.From = []string{"10.0.0.0/8"} },
		"a secret from anywhere":    func(p *IdentityProvider) { p.SecretHeader, p.Secret = "X-S", strings.Repeat("s", 20) },
		"a short secret":            func(p *IdentityProvider) { p.From, p.SecretHeader, p.Secret = []string{"10.0.0.0/8"}, "X-S", "short" },
		"email without trustEmail":  func(p *IdentityProvider) { p.ClientCertificate, p.MatchBy = "front.example.com", "email" },
	} {
		p := edge
		change(&p)
		if len(p.Validate("p")) == 0 {
			t.Errorf("%s is accepted", name)
		}
	}
	edge.From, edge.SecretHeader, edge.Secret = []string{"10.0.0.0/8"}, "X-S", strings.Repeat("s", 20)
	if f := edge.Validate("p"); len(f) > 0 {
		t.Errorf("a proven front end: %v", f)
	}
}
