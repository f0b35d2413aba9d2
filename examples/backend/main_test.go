package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/sallyport/sallyport/verify"
)

func TestThePolicyOfTheExampleHolds(t *testing.T) {
	text, err := os.ReadFile("policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := verify.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	client1 := verify.Identity{Name: "client1", Issuer: "https://localhost:8443"}
	if !p.Allows(client1, "PUT", "/orders/7") || p.Allows(client1, "DELETE", "/orders/7") || p.Allows(client1, "GET", "/reports") {
		t.Error("the policy is not the one that is described")
	}
}

func TestTheAnswerSaysWhoCalled(t *testing.T) {
	r := httptest.NewRequest("GET", "/orders/7", nil)
	r = r.WithContext(verify.NewContext(context.Background(), verify.Identity{Name: "alice", Groups: []string{"staff"}}))
	w := httptest.NewRecorder()
	answer(w, r)
	if !strings.Contains(w.Body.String(), `"caller":"alice"`) {
		t.Error(w.Body)
	}
}

func TestTheSidecarJudgesTheRequestItIsAskedAbout(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	token, err := jwt.Signed(signer).Claims(map[string]any{"iss": "https://gw", "aud": "orders", "sub": "u", "preferred_username": "client1",
		"iat": at.Unix(), "exp": at.Add(time.Minute).Unix()}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Config{Issuer: "https://gw", Audience: "orders", Keys: map[string]crypto.PublicKey{"k": key.Public()}, PolicyFile: "policy.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token, method, target string
		want                        int
	}{
		{"allowed", token, "PUT", "/orders/7?x=1", 204},
		{"refused by the policy", token, "DELETE", "/orders/7", 403},
		{"an ambiguous path", token, "GET", "/orders/../x", 403},
		{"no proof", "", "GET", "/orders", 401},
		{"nothing asked", token, "", "", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			if c.token != "" {
				r.Header.Set(verify.DefaultHeader, c.token)
			}
			r.Header.Set("X-Original-Method", c.method)
			r.Header.Set("X-Original-URI", c.target)
			w := httptest.NewRecorder()
			judge(v).ServeHTTP(w, r)
			if w.Code != c.want || (w.Header().Get("X-Verified-User") == "client1") != (c.want == 204) {
				t.Error(w.Code, w.Header())
			}
		})
	}
}

func TestBadFlagsAreExplained(t *testing.T) {
	for _, args := range [][]string{
		{"-tokens", "https://idp.example.com"}, {"-ca", "/nowhere.pem"}, {"-policy", "/nowhere.yaml"}, {"-issuer", "http://gateway.example"}, {"-listen", "300.0.0.1:x"},
	} {
		if err := run(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
