package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/model"
)

func TestTheClientProvesItselfAsTheProviderAsks(t *testing.T) {
	for _, tc := range []struct {
		name    string
		methods any
		post    bool
	}{
		{"basic is meant where nothing is said", nil, false},
		{"basic before post", []any{"client_secret_post", "client_secret_basic"}, false},
		{"post where there is no basic", []any{"client_secret_post", "private_key_jwt"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.idp.doc = func(d map[string]any) {
				if tc.methods != nil {
					d["token_endpoint_auth_methods_supported"] = tc.methods
				}
			}
			w.mustLogin()
			form, auth := w.idp.asked[0], w.idp.auth[0]
			if tc.post {
				if auth != "" || form.Get("client_id") != "gw" || form.Get("client_secret") != w.provider.ClientSecret {
					t.Errorf("%q %v", auth, form)
				}
				return
			}
			// gw:s3cr%26t+%3A%25, each half form-encoded first (RFC 6749, 2.3.1)
			if auth != "Basic Z3c6czNjciUyNnQrJTNBJTI1" || form.Has("client_secret") || form.Has("client_id") {
				t.Errorf("%q %v", auth, form)
			}
		})
	}
}

// Okta, Authelia and others announce both ways and hold each client to the one that
// it was registered for.
func TestAClientThatIsRegisteredForOneOfTwoWaysIsTakenByIt(t *testing.T) {
	for _, only := range []string{secretBasic, secretPost} {
		t.Run(only, func(t *testing.T) {
			w := newWorld(t)
			w.idp.doc = func(d map[string]any) {
				d["token_endpoint_auth_methods_supported"] = []any{"private_key_jwt", "client_secret_post", "client_secret_basic"}
			}
			w.idp.in(func(rw http.ResponseWriter, r *http.Request) {
				r.ParseForm()
				if (r.Header.Get("Authorization") != "") != (only == secretBasic) {
					rw.WriteHeader(401)
					fmt.Fprint(rw, `{"error":"invalid_client"}`)
					return
				}
				w.idp.set(func() { w.idp.serveToken(rw, r) })
			}, "/token")
			if rep := w.party.Check(context.Background(), w.provider); !rep.OK || !strings.Contains(rep.Findings[len(rep.Findings)-1].Says, only) {
				t.Errorf("%+v", rep)
			}
			before := w.idp.tokenCalls.Load()
			id := w.mustLogin()
			if _, err := w.party.Refresh(context.Background(), w.provider, id.Keep); err != nil {
				t.Error(err)
			}
			if n := w.idp.tokenCalls.Load() - before; n != 2 {
				t.Errorf("%d calls, the way being known", n)
			}
			w.party.Retain(nil)
			if len(w.party.accepted) != 0 {
				t.Error("the way is remembered of a provider that is gone")
			}
			w.mustLogin()
		})
	}
	t.Run("and a wrong secret is refused by both, each asked once", func(t *testing.T) {
		w := newWorld(t)
		w.idp.doc = func(d map[string]any) {
			d["token_endpoint_auth_methods_supported"] = []any{"client_secret_post", "client_secret_basic"}
		}
		w.idp.in(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(401)
			fmt.Fprint(rw, `{"error":"invalid_client"}`)
		}, "/token")
		_, err := w.login()
		expect(t, err, model.IdentityUnavailable, "invalid_client")
		if n := w.idp.tokenCalls.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func writeKey(t *testing.T, dir, name string, key *signingKey, kind string) {
	t.Helper()
	var der []byte
	var err error
	switch kind {
	case "EC PRIVATE KEY":
		der, err = x509.MarshalECPrivateKey(key.key.(*ecdsa.PrivateKey))
	case "RSA PRIVATE KEY":
		der = x509.MarshalPKCS1PrivateKey(key.key.(*rsa.PrivateKey))
	default:
		der, err = x509.MarshalPKCS8PrivateKey(key.key)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// RFC 7523, 3.
func TestAClientAssertionIsShortLivedForOneAudienceAndOneUse(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ alg, kind string }{{"ES256", "EC PRIVATE KEY"}, {"ES384", "PRIVATE KEY"}, {"RS256", "RSA PRIVATE KEY"}, {"RS256", "PRIVATE KEY"}, {"EdDSA", "PRIVATE KEY"}} {
		t.Run(tc.alg+" "+tc.kind, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Dir = dir })
			key := newKey(t, "", tc.alg)
			writeKey(t, dir, "client.pem", key, tc.kind)
			w.provider.ClientSecret, w.provider.ClientKeyFile = "", "client.pem"
			if err := w.party.CheckFile(w.provider); err != nil {
				t.Fatal(err)
			}
			w.mustLogin()
			w.mustLogin()
			seen := map[any]bool{}
			for i, form := range w.idp.asked {
				if w.idp.auth[i] != "" || form.Get("client_id") != "gw" || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
					t.Errorf("%q %v", w.idp.auth[i], form)
				}
				jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(tc.alg)})
				if err != nil {
					t.Fatal(err)
				}
				payload, err := jws.Verify(key.key.Public())
				if err != nil {
					t.Fatal(err)
				}
				var c map[string]any
				json.Unmarshal(payload, &c)
				now := float64(w.clock.now().Unix())
				if c["iss"] != "gw" || c["sub"] != "gw" || c["aud"] != w.idp.URL+"/token" || c["iat"] != now || c["exp"] != now+60 || len(c["jti"].(string)) < 20 || seen[c["jti"]] {
					t.Errorf("claims %v", c)
				}
				seen[c["jti"]] = true
			}
		})
	}
}

// A hostile provider that names another's token endpoint as its own must not get an
// assertion that is good there.
func TestAnAssertionNamesAnEndpointOnlyOnTheIssuersOwnHost(t *testing.T) {
	for _, tc := range []struct{ issuer, token, want string }{
		{"https://idp.example/realm", "https://idp.example/realm/token", "https://idp.example/realm/token"},
		{"https://evil.example", "https://idp.example/token", "https://evil.example"},
		{"https://idp.example", "https://idp.example:8443/token", "https://idp.example"},
	} {
		m, err := readMetadata(tc.issuer, jsonOf(map[string]any{"issuer": tc.issuer, "authorization_endpoint": tc.token, "token_endpoint": tc.token, "jwks_uri": tc.token}))
		if err != nil {
			t.Fatal(err)
		}
		if got := assertionAudience(m); got != tc.want {
			t.Errorf("%s at %s: %s", tc.issuer, tc.token, got)
		}
	}
}

func TestTheAlgorithmOfAnAssertionIsOneThatTheProviderAccepts(t *testing.T) {
	rsaKey, ec := newKey(t, "", "RS256"), newKey(t, "", "ES256")
	for _, tc := range []struct {
		key      *signingKey
		accepted []string
		want     jose.SignatureAlgorithm
	}{{rsaKey, nil, "RS256"}, {rsaKey, []string{"PS256", "ES256"}, "PS256"}, {rsaKey, []string{"ES256"}, ""}, {ec, nil, "ES256"}, {ec, []string{"RS256", "ES256"}, "ES256"}, {ec, []string{"HS256"}, ""}} {
		got, err := signsWith(tc.key.key, tc.accepted)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s of %v: %s, %v", tc.key.alg, tc.accepted, got, err)
		}
	}
}

func TestAKeyFileThatWillNotDoIsNamedBeforeItIsNeeded(t *testing.T) {
	dir := t.TempDir()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	p := providerAt("https://idp.example")
	p.ClientSecret, p.ClientKeyFile = "", "client.pem"
	r := New(Options{Dir: dir})
	defer r.Close()
	for name, tc := range map[string]struct{ text, cause string }{
		"nothing":              {"", "no PEM private key"},
		"a certificate alone":  {block("CERTIFICATE", []byte("x")), "no PEM private key"},
		"broken":               {block("PRIVATE KEY", []byte("x")), "broken"},
		"encrypted":            {block("ENCRYPTED PRIVATE KEY", []byte("x")), "passphrase"},
		"an RSA key too small": {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)), "1024 bits"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "client.pem"), []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.CheckFile(p); err == nil || !strings.Contains(err.Error(), tc.cause) {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.Remove(filepath.Join(dir, "client.pem"))
	if err := r.CheckFile(p); err == nil {
		t.Error("a file that is not there")
	}
	p.ClientKeyFile = ""
	if err := r.CheckFile(p); err != nil {
		t.Error(err)
	}
	t.Run("and a login says that it cannot be had", func(t *testing.T) {
		w := newWorld(t)
		w.provider.ClientKeyFile = "/nonexistent"
		begin := time.Now()
		_, err := w.login()
		expect(t, err, model.IdentityUnavailable, "clientKeyFile")
		if time.Since(begin) > time.Second {
			t.Error("slow")
		}
	})
}
