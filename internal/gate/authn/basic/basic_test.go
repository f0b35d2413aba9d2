package basic

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

const password = "correct:horse battery"

func alice(hash string) model.User {
	return model.User{ID: "u1", Username: "Alice", Kind: model.Person, Active: true,
		Credentials: []model.Credential{{ID: "c1", Type: model.Password, Hash: hash}}}
}

func hashed(t testing.TB, p string) string {
	t.Helper()
	h, err := secret.NewHasher(secret.Options{}).Hash(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func method(d *authntest.Directory) *Method {
	return &Method{Lookup: d, Hasher: secret.NewHasher(secret.Options{}), Cache: authn.NewCache(1000), Now: authntest.Now}
}

func field(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

func request(fields ...string) func(testing.TB) *model.Request {
	return func(testing.TB) *model.Request { return authntest.Request(fields...) }
}

func TestBasicKeepsTheContract(t *testing.T) {
	d := &authntest.Directory{}
	user := alice(hashed(t, password))
	d.Put(user, model.User{ID: "u2", Username: "nopassword", Active: true})
	good := field("alice", password)
	bad := func(value string) func(testing.TB) *model.Request { return request("Authorization", value) }
	encode := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method { return method(d) },
		Good:   request("Authorization", good),
		Absent: map[string]func(testing.TB) *model.Request{
			"a bearer token":             bad("Bearer abc"),
			"a scheme that begins alike": bad("BasicX YTpi"),
			"an API key":                 request("X-API-Key", "sp_x"),
			"the credential in another field": request("Proxy-Authorization", good, "X-Authorization", good,
				"Authorization_", good),
		},
		Bad: map[string]func(testing.TB) *model.Request{
			"a wrong password":                     bad(field("alice", "wrong")),
			"a password of another case":           bad(field("alice", strings.ToUpper(password))),
			"an unknown user":                      bad(field("mallory", password)),
			"a user without password":              bad(field("nopassword", password)),
			"an empty password":                    bad(field("alice", "")),
			"an empty username":                    bad(field("", password)),
			"no colon":                             bad(encode("alice")),
			"no credential behind the scheme":      bad("Basic"),
			"not base64":                           bad("Basic !!!!"),
			"base64 of the URL alphabet":           bad("Basic " + strings.NewReplacer("+", "-", "/", "_").Replace("YTpiPz8/Pj4+")[:8] + "-_-_"),
			"base64 with stray bits":               bad("Basic YTpiYh=="),
			"base64 without padding":               bad(strings.TrimRight(field("alice", "xy"), "=")),
			"not UTF-8":                            bad(encode("alice:\xff\xfe")),
			"a control character in the password":  bad(encode("alice:a\x00b")),
			"a control character in the name":      bad(encode("al\nice:" + password)),
			"a list of two credentials":            bad(good + ", " + good),
			"two different credentials":            request("Authorization", good, "Authorization", field("alice", "x")),
			"two different, the wrong one first":   request("Authorization", field("alice", "x"), "Authorization", good),
			"a good one and one that is malformed": request("Authorization", good, "Authorization", "Basic a b"),
			"a password of 1025 bytes":             bad(field("alice", strings.Repeat("a", 1025))),
			"a credential of 8 KiB":                bad(field(strings.Repeat("a", 6000), "x")),
		},
		Secrets: []string{password, good[6:], "correct"},
		Fail:    d.Fail,
		Deactivate: func() {
			user.Active = false
			d.Put(user)
		},
	})
}

func ask(m *Method, fields ...string) authn.Result {
	return m.Authenticate(context.Background(), authntest.Request(fields...))
}

func TestSchemeAndUsernameIgnoreCase(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(alice(hashed(t, password)))
	m := method(d)
	for _, f := range []string{field("ALICE", password), "bAsIc" + field("alice", password)[5:], "Basic  " + field("alice", password)[6:]} {
		if r := ask(m, "authorization", f); r.Outcome != authn.Proven || !r.Proof.Ambient {
			t.Errorf("%q: %+v", f, r)
		}
	}
}

func TestAChangeElsewhereInTheUserCostsNoNewHash(t *testing.T) {
	d := &authntest.Directory{}
	u := alice(hashed(t, password))
	d.Put(u)
	m := method(d)
	first := ask(m, "Authorization", field("alice", password)).Proof
	u.DisplayName = "Alice Ames"
	d.Put(u)
	m.Hasher = nil // to ask it would panic
	second := ask(m, "Authorization", field("alice", password)).Proof
	if second == nil || second == first || second.Principal.User.DisplayName != "Alice Ames" {
		t.Fatalf("the proof was not rebuilt: %+v", second)
	}
	if third := ask(m, "Authorization", field("alice", password)).Proof; third != second {
		t.Error("the rebuilt proof was not kept")
	}
}

func TestAnOldPasswordEndsWithTheChange(t *testing.T) {
	d := &authntest.Directory{}
	u := alice(hashed(t, password))
	d.Put(u)
	m := method(d)
	ask(m, "Authorization", field("alice", password))
	changed := alice(hashed(t, "another"))
	d.Put(changed)
	if r := ask(m, "Authorization", field("alice", password)); r.Outcome != authn.Bad || r.Err.Code != model.CredentialInvalid {
		t.Errorf("the old password: %+v", r)
	}
	if r := ask(m, "Authorization", field("alice", "another")); r.Outcome != authn.Proven {
		t.Errorf("the new password: %+v", r)
	}
	d.Remove("u1")
	if r := ask(m, "Authorization", field("alice", "another")); r.Outcome != authn.Bad || r.Err.Code != model.CredentialInvalid {
		t.Errorf("of a user that was deleted: %+v", r)
	}
}

func TestARenamedUserIsNotFoundByItsOldName(t *testing.T) {
	d := &authntest.Directory{}
	u := alice(hashed(t, password))
	d.Put(u)
	m := method(d)
	ask(m, "Authorization", field("alice", password))
	u.Username = "alicia"
	d.Put(u)
	if r := ask(m, "Authorization", field("alice", password)); r.Outcome != authn.Bad {
		t.Error("the old name still opens")
	}
}

func TestExpiryIsToldOnlyOfAProvenPassword(t *testing.T) {
	d := &authntest.Directory{}
	u := alice(hashed(t, password))
	past := authntest.Time.Add(-time.Second)
	u.Credentials[0].ExpiresAt = &past
	d.Put(u)
	m := method(d)
	for range 2 {
		if r := ask(m, "Authorization", field("alice", password)); r.Outcome != authn.Bad || r.Err.Code != model.CredentialExpired {
			t.Errorf("the right password: %+v", r)
		}
	}
	if r := ask(m, "Authorization", field("alice", "wrong")); r.Err.Code != model.CredentialInvalid {
		t.Errorf("a wrong password: %+v", r)
	}
}

func TestExpiryIsMetInTheCacheToo(t *testing.T) {
	d := &authntest.Directory{}
	u := alice(hashed(t, password))
	end := authntest.Time.Add(time.Minute)
	u.Credentials[0].ExpiresAt = &end
	d.Put(u)
	m := method(d)
	r := authntest.Request("Authorization", field("alice", password))
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Proven {
		t.Fatal(res)
	}
	r.Time = end
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Bad || res.Err.Code != model.CredentialExpired {
		t.Errorf("at its end: %+v", res)
	}
}

func TestOldHashesAreUpgradedOnLogin(t *testing.T) {
	d := &authntest.Directory{}
	old, err := secret.Bcrypt(password, 4)
	if err != nil {
		t.Fatal(err)
	}
	d.Put(alice(old))
	m := method(d)
	var got []string
	m.Upgrade = func(userID, credentialID, hash string) { got = append(got, userID, credentialID, hash) }
	if r := ask(m, "Authorization", field("alice", "wrong")); r.Outcome != authn.Bad {
		t.Fatal(r)
	}
	if r := ask(m, "Authorization", field("alice", password)); r.Outcome != authn.Proven {
		t.Fatal(r)
	}
	m.Hasher.Close()
	if len(got) != 3 || got[0] != "u1" || got[1] != "c1" || !strings.HasPrefix(got[2], "$argon2id$") {
		t.Fatalf("upgraded: %v", got)
	}
	if ok, up, _ := m.Hasher.Verify(context.Background(), got[2], password); !ok || up {
		t.Error("the new hash is not of the same password")
	}
}

func TestAHundredConnectionsCostOneHash(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(alice(hashed(t, password)))
	m := method(d)
	m.Hasher = secret.NewHasher(secret.Options{Parallel: 1, Queue: 1})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if r := ask(m, "Authorization", field("alice", password)); r.Outcome != authn.Proven {
				t.Errorf("%v %s", r.Err, r.Detail)
			}
		})
	}
	wg.Wait()
}

func TestTooManyPasswordsAtOnceAreOverloadAndNotWrong(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(alice(hashed(t, password)))
	m := method(d)
	m.Hasher = secret.NewHasher(secret.Options{Parallel: 1, Queue: 1})
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[model.Code]int{}
	for i := range 10 {
		wg.Go(func() {
			r := ask(m, "Authorization", field("alice", "wrong"+string(rune('a'+i))))
			mu.Lock()
			defer mu.Unlock()
			codes[r.Err.Code]++
		})
	}
	wg.Wait()
	if codes[model.Overloaded] == 0 || codes[model.CredentialInvalid]+codes[model.Overloaded] != 10 {
		t.Errorf("codes: %v", codes)
	}
}

// cost is the least that the refusal of a user's wrong passwords takes: in
// processor time, which a busy machine does not change as it does the clock's.
func cost(t testing.TB, m *Method, user string) time.Duration {
	t.Helper()
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	best := time.Hour
	for i := range 4 {
		start := spent()
		ask(m, "Authorization", field(user, fmt.Sprint("wrong", i)))
		best = min(best, spent()-start)
	}
	return best
}

// TestUnknownUsersCostTheSame measures one hash for each kind of refusal.
func TestUnknownUsersCostTheSame(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(alice(hashed(t, password)), model.User{ID: "u2", Username: "nopassword", Active: true})
	m := method(d)
	known, unknown, without := cost(t, m, "alice"), cost(t, m, "mallory"), cost(t, m, "nopassword")
	for name, got := range map[string]time.Duration{"an unknown user": unknown, "a user without password": without} {
		if got < known/2 || got > known*2 {
			t.Errorf("%s is refused in %v, a wrong password in %v", name, got, known)
		}
	}
}

func TestChallengeNamesTheCharset(t *testing.T) {
	if c := (&Method{}).Challenge(nil); c != `Basic realm="sallyport", charset="UTF-8"` {
		t.Error(c)
	}
}

// FuzzParse compares the parser with a plain reading of RFC 7617.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"alice:pw", "a:b:c", ":", "", "a:", ":b", "a\x00:b", "é:ü", "\xff:x"} {
		f.Add(base64.StdEncoding.EncodeToString([]byte(s)))
	}
	f.Add("YTpi\n")
	f.Add("YTpiYh==")
	controls := regexp.MustCompile(`[\x00-\x1f\x7f]`)
	f.Fuzz(func(t *testing.T, text string) {
		user, pass, fault := parse(text)
		b, err := base64.StdEncoding.DecodeString(text)
		canonical := err == nil && base64.StdEncoding.EncodeToString(b) == text
		i := strings.IndexByte(string(b), ':')
		want := canonical && utf8.Valid(b) && i > 0 && i < len(b)-1 && len(b)-i-1 <= 1024 && !controls.Match(b) && model.ValidUsername(string(b[:max(i, 0)]))
		if (fault == "") != want {
			t.Fatalf("fault %q, plain reading %v", fault, want)
		}
		if want && (user != string(b[:i]) || pass != string(b[i+1:])) {
			t.Fatalf("%q %q", user, pass)
		}
	})
}

func BenchmarkRepeated(b *testing.B) {
	d := &authntest.Directory{}
	d.Put(alice(hashed(b, password)))
	m := method(d)
	r := authntest.Request("Accept", "*/*", "User-Agent", "curl", "Authorization", field("alice", password))
	b.ReportAllocs()
	for b.Loop() {
		if m.Authenticate(context.Background(), r).Outcome != authn.Proven {
			b.Fatal("not proven")
		}
	}
}
