package strip

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func names(t testing.TB, mod ...func(*model.Settings)) *Names {
	t.Helper()
	var s model.Settings
	s.Defaults()
	for _, m := range mod {
		m(&s)
	}
	return Compile(&s, []model.IdentityProvider{{Header: "X-SSO-User", SecretHeader: "X-SSO-Secret"}})
}

func apply(n *Names, trusted bool, pairs ...string) (kept []string, forged []string) {
	r := &model.Request{}
	for i := 0; i < len(pairs); i += 2 {
		r.Fields = append(r.Fields, model.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	forged = n.Apply(r, trusted, nil)
	for _, f := range r.Fields {
		if !f.Dropped {
			kept = append(kept, f.Name)
		}
	}
	return kept, forged
}

// every name that SPEC 7.3 lists, wildcards filled in.
var owning = []string{"X-User", "X-User-Id", "X-User-Email", "X-User-Anything", "X-Client-Id", "X-Auth-Method", "X-Auth-Username",
	"X-Token-Subject", "X-Sallyport-Assertion", "X-Sallyport-New", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups",
	"X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Authenticated-User", "X-Auth-Request-Email", "X-Remote-User",
	"Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email", "X-WebAuth-User", "X-Original-User", "X-Consumer-Username",
	"X-Credential-Identifier", "X-Anonymous-Consumer", "X-Authentik-Username", "X-Vouch-User", "X-Pomerium-Jwt-Assertion",
	"X-Goog-Authenticated-User-Email", "X-Goog-Iap-Jwt-Assertion", "Cf-Access-Jwt-Assertion", "X-Amzn-Oidc-Data",
	"X-Ms-Client-Principal", "X-Ms-Client-Principal-Id", "Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-Client-Cert-Dn",
	"X-Forwarded-Client-Cert", "SSL-Client-Verify", "X-SSL-Client-S-Dn", "X-SSO-User", "X-SSO-Secret"}

// oauth2-proxy CVE-2025-64484, Traefik CVE-2026-39858 and CVE-2026-88011, Caddy
// GHSA-f59h-q822-g45g: backends fold what a proxy took for another name.
func TestEverySpellingOfAnOwnedNameIsRemoved(t *testing.T) {
	n := names(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range owning {
		for range 200 {
			alias := respell(rng, name)
			if kept, _ := apply(n, false, alias, "mallory"); len(kept) > 0 {
				t.Fatalf("%q, an alias of %s, gets through", alias, name)
			}
			if kept, _ := apply(n, true, alias, "mallory"); len(kept) > 0 {
				t.Fatalf("%q, an alias of %s, gets through from a trusted proxy", alias, name)
			}
			if !n.Owned(alias) {
				t.Fatalf("%q is not owned: a trailer or an edit could set it", alias)
			}
		}
	}
}

func respell(rng *rand.Rand, name string) string {
	seps := []string{"-", "_", ".", "~", "!", "", "--", "-_", "+", "'", "|", "$"}
	var b strings.Builder
	switch rng.IntN(6) {
	case 0:
		b.WriteString("HTTP_")
	case 1:
		b.WriteString("Http-")
	case 2:
		b.WriteString("_")
	}
	for _, c := range name {
		switch {
		case c == '-':
			b.WriteString(seps[rng.IntN(len(seps))])
		case rng.IntN(2) == 0:
			b.WriteString(strings.ToUpper(string(c)))
		default:
			b.WriteString(strings.ToLower(string(c)))
		}
	}
	if rng.IntN(4) == 0 {
		b.WriteString("_")
	}
	return b.String()
}

func TestOrdinaryHeadersPass(t *testing.T) {
	n := names(t)
	ordinary := []string{"Accept", "User-Agent", "Content-Type", "Cookie", "Authorization", "X-API-Key", "Origin", "Referer", "Range",
		"If-None-Match", "X-Requested-With", "Traceparent", "Baggage", "X-Custom", "Accept-Language", "X-Us", "Via", "CDN-Loop", "X-Correlation-Id", "DNT", "X-Client-Version", "X-Auth-Token", "HTTP"}
	for _, name := range ordinary {
		if kept, forged := apply(n, false, name, "v"); len(kept) != 1 || len(forged) != 0 {
			t.Errorf("%s does not pass", name)
		}
	}
}

// Traefik CVE-2026-54763, CVE-2026-33433: a configured name that is not spelled
// canonically was never removed.
func TestConfiguredNamesAreRemovedHoweverTheyAreConfigured(t *testing.T) {
	for _, configured := range []string{"x_user", "x-user", "X-USER", "Remote_Customer", "remote-customer"} {
		n := names(t, func(s *model.Settings) { s.ReverseProxyAuthentication.UsernameHeader = configured })
		for _, sent := range []string{configured, strings.ToUpper(configured), strings.ReplaceAll(configured, "-", "_"), strings.ReplaceAll(configured, "_", "-")} {
			kept, forged := apply(n, false, sent, "mallory")
			if len(kept) > 0 || !slices.Contains(forged, sent) {
				t.Errorf("configured %q, sent %q: kept %v, forged %v", configured, sent, kept, forged)
			}
		}
	}
}

func TestAlsoStripAndOnlyConfiguredNamesAreReported(t *testing.T) {
	n := names(t, func(s *model.Settings) { s.IdentityHeaders.AlsoStrip = []string{"X-Tenant"} })
	kept, forged := apply(n, false, "x_tenant", "1", "X-Remote-User", "m", "X-User-Groups", "admin")
	if len(kept) != 0 || !slices.Equal(forged, []string{"X-User-Groups"}) {
		t.Errorf("kept %v, forged %v", kept, forged)
	}
}

func TestWhatEndsAtThisHopIsRemovedWithWhatConnectionNames(t *testing.T) {
	kept, _ := apply(names(t), false, "Connection", "close, X-Private , Keep-Alive", "X-Private", "1", "TE", "trailers", "Keep-Alive", "5",
		"Upgrade", "h2c", "HTTP2-Settings", "AAA", "Proxy-Authorization", "Basic x", "Content-Length", "3", "Expect", "100-continue", "X-Request-Id", "mine", "Accept", "*/*")
	if !slices.Equal(kept, []string{"Accept"}) {
		t.Errorf("kept %v", kept)
	}
}

// oauth2-proxy CVE-2026-40575 and CVE-2026-76835, Traefik GHSA-6384-m2mw-rf54,
// authentik CVE-2023-36456: part of the family was believed of anybody.
func TestTheForwardedFamilyIsRemovedUnlessThePeerIsTrusted(t *testing.T) {
	n := names(t)
	for _, name := range forwarded {
		for _, s := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.ToLower(name)} {
			if kept, _ := apply(n, false, s, "x"); len(kept) > 0 {
				t.Errorf("%s gets through from an untrusted peer", s)
			}
		}
		if kept, _ := apply(n, true, name, "x"); len(kept) != 1 {
			t.Errorf("%s is removed from a trusted peer", name)
		}
	}
	if kept, _ := apply(n, true, "X_Forwarded_For", "x"); len(kept) > 0 {
		t.Error("an alias gets through a trusted proxy, which did not write it")
	}
}

func TestClientIP(t *testing.T) {
	trusted, _ := model.ParsePrefixes([]string{"10.0.0.0/8", "fd00::/8"}, "")
	for _, c := range []struct{ name, peer, xff, want string }{
		{"an untrusted peer is the client whatever it says", "192.0.2.9", "1.2.3.4", "192.0.2.9"},
		{"a trusted peer is believed", "10.0.0.1", "192.0.2.9", "192.0.2.9"},
		{"the rightmost untrusted address counts", "10.0.0.1", "6.6.6.6, 192.0.2.9, 10.0.0.2", "192.0.2.9"},
		{"a malformed hop ends the belief", "10.0.0.1", "192.0.2.9, garbage", "10.0.0.1"},
		{"a malformed hop further left is not reached", "10.0.0.1", "garbage, 192.0.2.9", "192.0.2.9"},
		{"an address with a port", "10.0.0.1", "192.0.2.9:4711", "192.0.2.9"},
		{"IPv6", "10.0.0.1", "2001:db8::1", "2001:db8::1"},
		{"nothing said", "10.0.0.1", "", "10.0.0.1"},
		{"IPv4 in IPv6 clothes", "::ffff:10.0.0.1", "::ffff:192.0.2.9", "192.0.2.9"},
	} {
		r := &model.Request{Peer: netip.MustParseAddr(c.peer).Unmap(), Scheme: "http"}
		if c.xff != "" {
			r.Fields = append(r.Fields, model.Field{Name: "X-Forwarded-For", Value: c.xff})
		}
		r.Fields = append(r.Fields, model.Field{Name: "X-Forwarded-Proto", Value: "https"})
		ip, scheme, _ := ClientIP(r, trusted)
		if ip.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, ip, c.want)
		}
		if want := map[bool]string{true: "https", false: "http"}[trusted.Contains(r.Peer)]; scheme != want {
			t.Errorf("%s: scheme %s, want %s", c.name, scheme, want)
		}
	}
}

func TestRebuildTellsTheBackendWhatTheSocketSays(t *testing.T) {
	r := &model.Request{Host: "api.example.com:8443", Scheme: "https", Fields: []model.Field{{Name: "X-Forwarded-For", Value: "6.6.6.6", Dropped: true}}}
	add := Rebuild(r, false, "192.0.2.9", nil)
	got := map[string]string{}
	for _, f := range add {
		got[f.Name] = f.Value
	}
	if got["X-Forwarded-For"] != "192.0.2.9" || got["X-Forwarded-Host"] != "api.example.com:8443" || got["X-Forwarded-Proto"] != "https" || got["X-Forwarded-Port"] != "8443" {
		t.Errorf("%v", got)
	}
	r.Fields[0].Dropped = false
	if add = Rebuild(r, true, "10.0.0.1", nil); add[0].Value != "6.6.6.6, 10.0.0.1" || !r.Fields[0].Dropped {
		t.Errorf("a trusted chain is not kept: %v", add[0])
	}
}

func TestLoopSeen(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        bool
	}{
		{"CDN-Loop", "sallyport-1", true}, {"cdn-loop", "other, Sallyport-1; v=2", true}, {"CDN-Loop", "sallyport-11", false},
		{"CDN-Loop", "x-sallyport-1", false}, {"Via", "1.1 sallyport-1", true}, {"Via", "1.0 a, 2 sallyport-1 (comment)", true},
		{"Via", "sallyport-1", false}, {"Via", "1.1 sallyport-2", false}, {"X-Via", "1.1 sallyport-1", false},
	} {
		r := &model.Request{Fields: []model.Field{{Name: c.name, Value: c.value}}}
		if got := LoopSeen(r, "sallyport-1"); got != c.want {
			t.Errorf("%s: %s: %v", c.name, c.value, got)
		}
	}
}

// FuzzClassify compares the fast path with a plain reading of the rule.
func FuzzClassify(f *testing.F) {
	for _, s := range append(slices.Clone(owning), "HTTP_HTTP_X_USER", "X", "http", "") {
		f.Add(s)
	}
	n := names(f)
	f.Fuzz(func(t *testing.T, name string) {
		folded := model.Fold(name)
		for strings.HasPrefix(folded, "http") {
			folded = folded[4:]
		}
		want := false
		for _, o := range append(slices.Clone(fixed), "X-SSO-User", "X-SSO-Secret", "X-Sallyport-Assertion") {
			base, wild := strings.CutSuffix(o, "*")
			base = model.Fold(base)
			want = want || !wild && folded == base || wild && strings.HasPrefix(folded, base) && (len(folded) > len(base) || !strings.HasSuffix(o, "-*"))
		}
		if got := n.Owned(name); want && !got {
			t.Errorf("%q folds to %q and is not owned", name, folded)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	n := names(b)
	r := &model.Request{}
	for _, h := range []string{"Accept", "User-Agent", "Content-Type", "Cookie", "Authorization", "Accept-Encoding", "Accept-Language", "Origin", "Connection"} {
		r.Fields = append(r.Fields, model.Field{Name: h, Value: "keep-alive"})
	}
	b.ReportAllocs()
	for b.Loop() {
		n.Apply(r, false, nil)
	}
}
