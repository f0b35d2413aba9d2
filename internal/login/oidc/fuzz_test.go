package oidc

import (
	"context"
	"crypto"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// oneKey is a provider with one key, which is asked nothing over the network.
type oneKey struct{ key *signingKey }

func (k oneKey) Find(_ context.Context, _ *model.IdentityProvider, kid, alg string) ([]crypto.PublicKey, error) {
	if alg != k.key.alg {
		return nil, nil
	}
	return []crypto.PublicKey{k.key.key.Public()}, nil
}
func (oneKey) Status(*model.IdentityProvider) KeysStatus { return KeysStatus{} }
func (oneKey) Fetch(context.Context, *model.IdentityProvider) (KeysStatus, error) {
	return KeysStatus{}, nil
}

const fuzzIssuer = "https://idp.example"

var fuzzNow = time.Unix(1_900_000_000, 0)

func fuzzParty(f *testing.F) (*Party, *signingKey, *model.IdentityProvider, *metadata) {
	key := newKey(f, "k", "ES256")
	r := New(Options{Keys: oneKey{key}, Now: func() time.Time { return fuzzNow }})
	f.Cleanup(r.Close)
	p := providerAt(fuzzIssuer)
	m, err := readMetadata(fuzzIssuer, []byte(`{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k"}`))
	if err != nil {
		f.Fatal(err)
	}
	s := r.source(p)
	s.have, s.next = m, fuzzNow.Add(time.Hour)
	return r, key, p, m
}

// FuzzIDToken gives any header and claims a good signature: what is accepted must be
// acceptable by a second reading too.
func FuzzIDToken(f *testing.F) {
	r, key, p, m := fuzzParty(f)
	f.Add(`{"alg":"ES256"}`, `{"iss":"https://idp.example","sub":"a","aud":"gw","exp":1900000300,"iat":1900000000}`)
	f.Add(`{"alg":"ES256","kid":"k","typ":"JWT"}`, `{"iss":"https://idp.example","sub":"a","aud":["gw","x"],"azp":"gw","exp":1900000300,"iat":1900000000,"nbf":1}`)
	f.Add(`{"alg":"none"}`, `{"ISS":"https://idp.example","sub":"a","aud":"gw","exp":1e300,"iat":-1}`)
	f.Add(`{"alg":"ES256","crit":[]}`, `{"iss":"https://idp.example","sub":"a","sub":"b","aud":"gw","exp":1900000300,"iat":1900000000}`)
	f.Add(`{"alg":"ES256"}`, `{"iss":"https://idp.example","sub":"a","aud":"gw","exp":1900000300,"iat":1900000000,"_claim_names":{"groups":"s"},"_claim_sources":{"s":{"endpoint":"https://x"}}}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		id, err := r.verifyID(context.Background(), p, m, key.sign([]byte(header), []byte(claims)))
		if err != nil {
			if id != nil {
				t.Fatal("both a token and an error")
			}
			return
		}
		h, err1 := strict.Object([]byte(header))
		c, err2 := strict.Object([]byte(claims))
		if err1 != nil || err2 != nil || h["alg"] != "ES256" || h["jwk"] != nil || h["jku"] != nil || h["x5u"] != nil || h["crit"] != nil {
			t.Fatalf("accepted with the header %q", header)
		}
		exp, _ := c["exp"].(float64)
		iat, _ := c["iat"].(float64)
		sub, _ := c["sub"].(string)
		now := float64(fuzzNow.Unix())
		mine := c["aud"] == "gw"
		if list, ok := c["aud"].([]any); ok {
			for _, a := range list {
				mine = mine || a == "gw"
			}
			mine = mine && (len(list) == 1 || c["azp"] == "gw")
		}
		if c["iss"] != fuzzIssuer || !mine || sub == "" || sub != id.subject || exp <= now-31 || exp > 1e12 || iat > now+31 || c["iat"] == nil || iat < 0 {
			t.Fatalf("accepted %q", claims)
		}
	})
}

func FuzzLogoutToken(f *testing.F) {
	r, key, p, _ := fuzzParty(f)
	f.Add(`{"alg":"ES256","typ":"logout+jwt"}`, `{"iss":"https://idp.example","sub":"a","sid":"s","aud":"gw","jti":"j","exp":1900000300,"iat":1900000000,"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`)
	f.Add(`{"alg":"ES256"}`, `{"iss":"https://idp.example","sid":"s","aud":["gw"],"jti":"j","iat":1900000000,"nonce":null,"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`)
	f.Add(`{"alg":"ES256"}`, `{"iss":"https://idp.example","sub":"a","aud":"gw","jti":"j","iat":1900000000,"events":{"http://schemas.openid.net/event/backchannel-logout":[]}}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		e, err := r.Logout(context.Background(), p, key.sign([]byte(header), []byte(claims)))
		if err != nil {
			return
		}
		c, err := strict.Object([]byte(claims))
		events, _ := c["events"].(map[string]any)
		_, nonce := c["nonce"]
		sub, _ := c["sub"].(string)
		sid, _ := c["sid"].(string)
		if err != nil || len(events) != 1 || events[logoutEvent] == nil || nonce || c["iss"] != fuzzIssuer || sub != e.Subject || sid != e.SID || sub+sid == "" || c["jti"] == "" {
			t.Fatalf("accepted %q: %+v", claims, e)
		}
		if left := e.Until.Sub(fuzzNow); left <= 0 || left > oldestLogout+skew {
			t.Fatalf("to be remembered for %v: %q", left, claims)
		}
		if _, err := r.verifyID(context.Background(), p, r.source(p).have, key.sign([]byte(header), []byte(claims))); err == nil {
			t.Fatalf("it is an id token too: %q", claims)
		}
	})
}

// FuzzToken feeds texts that nobody signed.
func FuzzToken(f *testing.F) {
	r, key, p, m := fuzzParty(f)
	good := key.sign([]byte(`{"alg":"ES256"}`), []byte(`{"iss":"https://idp.example","sub":"a","aud":"gw","exp":1900000300,"iat":1900000000}`))
	f.Add(good[:len(good)-1])
	f.Add(good + "=")
	f.Add("a.b.c")
	f.Add("....")
	f.Fuzz(func(t *testing.T, raw string) {
		if raw == good {
			return
		}
		if _, err := r.verifyID(context.Background(), p, m, raw); err == nil {
			t.Fatalf("accepted %q", raw)
		}
		if _, err := r.Logout(context.Background(), p, raw); err == nil {
			t.Fatalf("accepted %q", raw)
		}
	})
}

func FuzzTokenAnswer(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","token_type":"Bearer","id_token":"x.y.z","refresh_token":"r","expires_in":3600}`))
	f.Add([]byte(`{"access_token":"a","token_type":"bearer","expires_in":"1e400"}`))
	f.Add([]byte(`{"access_token":null,"token_type":"Bearer"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readTokens(b)
		if err != nil {
			return
		}
		m, err := strict.Object(b)
		access, _ := m["access_token"].(string)
		id, _ := m["id_token"].(string)
		if err != nil || a.access != access || a.id != id || access == "" || strings.ContainsAny(a.access+a.id+a.refresh, "\r\n \x00") || a.life < 0 {
			t.Fatalf("%q: %+v", b, a)
		}
		if at := a.due(fuzzNow); !at.IsZero() && (at.Before(fuzzNow.Add(30*time.Second)) || at.After(fuzzNow.Add(24*time.Hour))) {
			t.Fatalf("%q: due at %v", b, at)
		}
	})
}

func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a?x=1","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k","end_session_endpoint":"http://127.0.0.1/l"}`))
	f.Add([]byte(`{"issuer":"https://idp.example","authorization_endpoint":"//idp.example/a"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMetadata(fuzzIssuer, b)
		if err != nil {
			return
		}
		var slow struct {
			Issuer string `json:"issuer"`
		}
		if json.Unmarshal(b, &slow) != nil {
			t.Fatalf("accepted %q", b)
		}
		for _, u := range []*url.URL{m.authorization, m.token, m.userInfo, m.endSession} {
			if u != nil && (!model.SecureURL(u) || u.User != nil || strings.Contains(u.String(), "#")) {
				t.Fatalf("%q names %s", b, u)
			}
		}
		a := &flow.Attempt{Provider: providerAt(fuzzIssuer), Base: &url.URL{Scheme: "https", Host: "gw"}, State: "s", Secret: "x"}
		d := depart(m.authorization, map[string]string{"state": a.State, "client_id": "gw"})
		u, err := url.Parse(d.URL)
		if err != nil || u.Host != m.authorization.Host || d.Form == nil && (len(u.Query()["state"]) != 1 || u.Query().Get("state") != "s") {
			t.Fatalf("%q leads to %q", b, d.URL)
		}
		for _, alg := range m.algorithms {
			if alg == "none" || strings.HasPrefix(alg, "HS") {
				t.Fatalf("%q lets in %s", b, alg)
			}
		}
	})
}

func FuzzReturn(f *testing.F) {
	_, _, p, m := fuzzParty(f)
	m.announcesIss = true
	for _, s := range []string{"code=c&state=s&iss=https://idp.example", "code=c&code=d&state=s&iss=https://idp.example", "error=access_denied&state=s&iss=https://idp.example", "state=s", "code=%0a&state=s&iss=https://idp.example", "code=c;state=s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		code, err := answered(p, m, &flow.Attempt{Provider: p, State: "s"}, &flow.Return{Query: q})
		if err != nil {
			if code != "" || model.AsError(err).Code == model.Internal {
				t.Fatalf("%q: %q, %v", raw, code, err)
			}
			return
		}
		count := map[string]int{}
		for part := range strings.SplitSeq(raw, "&") {
			if part == "" {
				continue
			}
			name, v, _ := strings.Cut(part, "=")
			name, _ = url.QueryUnescape(name)
			v, _ = url.QueryUnescape(v)
			if count[name]++; name == "code" && v != code || name == "state" && v != "s" || name == "iss" && v != fuzzIssuer || name == "error" {
				t.Fatalf("%q is taken for the code %q", raw, code)
			}
		}
		if count["code"] != 1 || count["state"] != 1 || count["iss"] != 1 {
			t.Fatalf("%q is taken for the code %q", raw, code)
		}
	})
}
