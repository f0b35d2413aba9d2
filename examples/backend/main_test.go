package main

import (
	"context"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

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

func TestBadFlagsAreExplained(t *testing.T) {
	for _, args := range [][]string{
		{"-tokens", "https://idp.example.com"}, {"-ca", "/nowhere.pem"}, {"-policy", "/nowhere.yaml"}, {"-issuer", "http://gateway.example"}, {"-listen", "300.0.0.1:x"},
	} {
		if err := run(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
