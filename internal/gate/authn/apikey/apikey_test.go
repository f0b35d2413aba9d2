package apikey

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

type issued struct{ full, id, prefix, hash string }

func issue() (k issued) {
	k.full, k.id, k.prefix, k.hash = secret.NewAPIKey()
	return k
}

func robot(keys ...issued) model.User {
	u := model.User{ID: "u1", Username: "robot", Kind: model.ServiceUser, Active: true}
	for i, k := range keys {
		u.Credentials = append(u.Credentials, model.Credential{ID: "c" + string(rune('1'+i)), Type: model.APIKey, Prefix: k.prefix, Hash: k.hash})
	}
	return u
}

func request(fields ...string) func(testing.TB) *model.Request {
	return func(testing.TB) *model.Request { return authntest.Request(fields...) }
}

func method(d *authntest.Directory) *Method {
	return &Method{Lookup: d, Cache: authn.NewCache(100), Now: authntest.Now}
}

func TestAPIKeyKeepsTheContract(t *testing.T) {
	d := &authntest.Directory{}
	key, second, unknown := issue(), issue(), issue()
	user := robot(key, second)
	d.Put(user)
	// The id of one key with the secret of another, and a checksum that fits.
	forged := issue()
	d.Put(model.User{ID: "u2", Username: "victim", Active: true,
		Credentials: []model.Credential{{ID: "c9", Type: model.APIKey, Prefix: forged.prefix, Hash: "0000000000000000000000000000000000000000000000000000000000000000"}}})
	token, _, _, _ := secret.NewAdminToken()
	for _, place := range []string{"X-API-Key", "Authorization"} {
		t.Run(place, func(t *testing.T) {
			in := func(k string) []string {
				if place == "Authorization" {
					k = "ApiKey " + k
				}
				return []string{place, k}
			}
			bad := func(k string) func(testing.TB) *model.Request { return request(in(k)...) }
			user.Active = true
			d.Put(user)
			authntest.Run(t, authntest.Suite{
				Method: func(testing.TB) authn.Method { return method(d) },
				Good:   request(in(key.full)...),
				Absent: map[string]func(testing.TB) *model.Request{
					"Basic":                            request("Authorization", "Basic YTpi"),
					"a bearer token":                   request("Authorization", "Bearer "+key.full),
					"the key under a name like it":     request("X_API_Key", key.full, "X-ApiKey", key.full, "Api-Key", key.full),
					"a scheme that begins like ApiKey": request("Authorization", "ApiKeys "+key.full),
				},
				Bad: map[string]func(testing.TB) *model.Request{
					"an unknown key":                bad(unknown.full),
					"another secret under the id":   bad(forged.full),
					"a key that was cut off":        bad(key.full[:40]),
					"an administrator's token":      bad(token),
					"something else":                bad("hunter2"),
					"nothing behind the name":       bad(""),
					"two different keys":            request(append(in(key.full), in(second.full)...)...),
					"different keys in both places": request("X-API-Key", key.full, "Authorization", "ApiKey "+second.full),
					"a wrong one in either place":   request("X-API-Key", key.full, "Authorization", "ApiKey a b"),
				},
				Secrets: []string{key.full[15:], forged.full[15:], unknown.full[15:]},
				Fail:    d.Fail,
				Deactivate: func() {
					user.Active = false
					d.Put(user)
				},
			})
		})
	}
}

func ask(m *Method, fields ...string) authn.Result {
	return m.Authenticate(context.Background(), authntest.Request(fields...))
}

func TestTheSameKeyInBothPlacesIsOne(t *testing.T) {
	d := &authntest.Directory{}
	k := issue()
	d.Put(robot(k))
	if r := ask(method(d), "X-API-Key", k.full, "Authorization", "apikey "+k.full); r.Outcome != authn.Proven || r.Proof.Ambient {
		t.Errorf("%+v", r)
	}
}

func TestScopesNarrowAndAddressesGoAlong(t *testing.T) {
	d := &authntest.Directory{}
	k := issue()
	u := robot(k)
	u.Credentials[0].Scopes, u.Credentials[0].Addresses = []string{"reader"}, []string{"10.0.0.0/8"}
	d.Put(u)
	p := ask(method(d), "X-API-Key", k.full).Proof
	if p == nil || !p.Narrow || len(p.Scopes) != 1 || len(p.Credential.Addresses) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestAnExpiredKeyIsToldSo(t *testing.T) {
	d := &authntest.Directory{}
	k := issue()
	u := robot(k)
	end := authntest.Time
	u.Credentials[0].ExpiresAt = &end
	d.Put(u)
	m := method(d)
	for range 2 {
		if r := ask(m, "X-API-Key", k.full); r.Outcome != authn.Bad || r.Err.Code != model.CredentialExpired {
			t.Errorf("%+v", r)
		}
	}
	before := authntest.Request("X-API-Key", k.full)
	before.Time = end.Add(-time.Nanosecond)
	if r := m.Authenticate(context.Background(), before); r.Outcome != authn.Proven {
		t.Errorf("a moment before: %+v", r)
	}
}

func TestAKeyEndsWithItsDeletionAndItsOwner(t *testing.T) {
	d := &authntest.Directory{}
	a, b := issue(), issue()
	d.Put(robot(a, b))
	m := method(d)
	for _, k := range []issued{a, b} {
		if r := ask(m, "X-API-Key", k.full); r.Outcome != authn.Proven {
			t.Fatal(r)
		}
	}
	d.Put(robot(b))
	if r := ask(m, "X-API-Key", a.full); r.Outcome != authn.Bad {
		t.Error("a deleted key still opens")
	}
	if r := ask(m, "X-API-Key", b.full); r.Outcome != authn.Proven {
		t.Error("the other key does not")
	}
	d.Remove("u1")
	if r := ask(m, "X-API-Key", b.full); r.Outcome != authn.Bad {
		t.Error("a key outlives its owner")
	}
}

func TestChecksumIsCheckedBeforeAnyLookup(t *testing.T) {
	d := &authntest.Directory{}
	k := issue()
	d.Put(robot(k))
	wrong := []byte(k.full)
	wrong[30] ^= 1
	ask(method(d), "X-API-Key", string(wrong))
	if d.Asked() != 0 {
		t.Error("the directory was asked for a mistyped key")
	}
}

func BenchmarkRepeated(b *testing.B) {
	d := &authntest.Directory{}
	k := issue()
	d.Put(robot(k))
	m := method(d)
	r := authntest.Request("Accept", "*/*", "User-Agent", "curl", "X-API-Key", k.full)
	b.ReportAllocs()
	for b.Loop() {
		if m.Authenticate(context.Background(), r).Outcome != authn.Proven {
			b.Fatal("not proven")
		}
	}
}
