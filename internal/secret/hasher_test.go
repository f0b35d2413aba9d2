package secret

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var htpasswdLines = map[string]string{ // all of the password "myPassword"; apr1 and SHA as Apache's manual shows them
	"bcrypt":   "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC",
	"md5":      "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
	"sha1":     "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=",
	"sha1 alt": "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNF=",
}

func TestHashesVerify(t *testing.T) {
	h := NewHasher(Options{})
	ctx := context.Background()
	fresh, err := h.Hash(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(fresh, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash has other parameters: %s", fresh)
	}
	bc, err := Bcrypt("correct horse", 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, hash, password string
		ok, upgrade          bool
	}{
		{"a hash made here matches its password", fresh, "correct horse", true, false},
		{"a hash made here refuses another password", fresh, "correct horse ", false, false},
		{"bcrypt matches and wants upgrading", bc, "correct horse", true, true},
		{"bcrypt refuses another password", bc, "battery staple", false, false},
		{"htpasswd's bcrypt matches", htpasswdLines["bcrypt"], "myPassword", true, true},
		{"apr1 matches and wants upgrading", htpasswdLines["md5"], "myPassword", true, true},
		{"apr1 refuses another password", htpasswdLines["md5"], "mypassword", false, false},
		{"SHA-1 matches and wants upgrading", htpasswdLines["sha1"], "myPassword", true, true},
		{"SHA-1 refuses another password", htpasswdLines["sha1"], "x", false, false},
		{"weaker argon2id wants upgrading", argonOf("pw", 8192, 1, 1), "pw", true, true},
		{"stronger argon2id is left alone", argonOf("pw", 65536, 3, 2), "pw", true, false},
		{"no hash at all refuses", "", "correct horse", false, false},
		{"an over-long password is refused", fresh, strings.Repeat("a", MaxPassword+1), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ok, up, err := h.Verify(ctx, tc.hash, tc.password)
			if err != nil || ok != tc.ok || up != tc.upgrade {
				t.Errorf("got ok=%v upgrade=%v err=%v", ok, up, err)
			}
		})
	}
}

func TestBcryptComparesWholePasswordsOnly(t *testing.T) {
	long := strings.Repeat("a", 72)
	if _, err := Bcrypt(long+"b", 4); !errors.Is(err, ErrTooLong) {
		t.Errorf("73 bytes were hashed: %v", err)
	}
	hash, _ := Bcrypt(long, 4)
	h := NewHasher(Options{})
	if ok, _, _ := h.Verify(context.Background(), hash, long); !ok {
		t.Error("72 bytes are refused")
	}
	if ok, _, _ := h.Verify(context.Background(), hash, long+"tail"); ok {
		t.Error("what bcrypt cuts off was not compared, and passed")
	}
}

func TestSlicedBcryptIsBcrypt(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 55, 56, 71, 72} {
		password := strings.Repeat("p\xc3\xa4", 40)[:n]
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []string{"$2a$", "$2b$", "$2y$"} {
			b, err := readBcrypt(version + string(hash[4:]))
			if err != nil || !b.matches(nil, password) || b.matches(nil, password+"x") != (n == 72) {
				t.Errorf("%d bytes as %s: %v", n, version, err)
			}
		}
	}
}

func TestStoredHashesAreBounded(t *testing.T) {
	salt, sum := "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, hash := range map[string]string{
		"four gigabytes of memory":       "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + sum,
		"a million passes":               "$argon2id$v=19$m=8,t=1000000,p=1$" + salt + "$" + sum,
		"memory times passes":            "$argon2id$v=19$m=262144,t=16,p=1$" + salt + "$" + sum,
		"zero passes":                    "$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + sum,
		"less memory than lanes need":    "$argon2id$v=19$m=8,t=1,p=4$" + salt + "$" + sum,
		"another version":                "$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + sum,
		"argon2i":                        "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + sum,
		"parameters in another order":    "$argon2id$v=19$t=2,m=19456,p=1$" + salt + "$" + sum,
		"a signed parameter":             "$argon2id$v=19$m=+19456,t=2,p=1$" + salt + "$" + sum,
		"no salt":                        "$argon2id$v=19$m=19456,t=2,p=1$$" + sum,
		"an empty sum":                   "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$",
		"bcrypt of cost 31":              "$2y$31$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC",
		"bcrypt cut short":               "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BR",
		"a billion rounds of SHA-512":    "$6$rounds=999999999$abc$" + strings.Repeat("a", 86),
		"SHA-256 crypt without its sum":  "$5$abc$",
		"apr1 without salt":              "$apr1$",
		"SHA-1 of another length":        "{SHA}AAAA",
		"the clear password":             "hunter2",
		"the clear password, as nginx's": "{PLAIN}hunter2",
		"more than any hash is long":     "{SSHA}" + strings.Repeat("A", 4096),
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckHash(hash); !errors.Is(err, ErrHash) {
				t.Errorf("CheckHash: %v", err)
			}
			ok, _, err := NewHasher(Options{}).Verify(context.Background(), hash, "hunter2")
			if ok || !errors.Is(err, ErrHash) {
				t.Errorf("Verify: ok=%v err=%v", ok, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the error holds the clear password")
			}
		})
	}
}

func TestEveryRefusalCostsOneHash(t *testing.T) {
	h := NewHasher(Options{})
	ctx := context.Background()
	known, _ := h.Hash(ctx, "right")
	cost := func(hash string) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			h.Verify(ctx, hash, "wrong")
			best = min(best, time.Since(start))
		}
		return best
	}
	wrong := cost(known)
	for name, hash := range map[string]string{"nobody": "", "an imported SHA-1 hash": htpasswdLines["sha1"], "a broken hash": "???"} {
		if got := cost(hash); got < wrong/2 || got > wrong*3 {
			t.Errorf("%s is refused in %v, a wrong password in %v", name, got, wrong)
		}
	}
}

func TestRefusalsOfDearerHashesAreEvenedOut(t *testing.T) {
	h := NewHasher(Options{})
	ctx := context.Background()
	dear := argonOf("pw", 65536, 4, 1)
	h.Verify(ctx, dear, "wrong") // from now on both kinds are known
	h.Verify(ctx, "", "wrong")
	start := time.Now()
	h.Verify(ctx, dear, "wrong")
	slow := time.Since(start)
	start = time.Now()
	h.Verify(ctx, "", "wrong")
	if quick := time.Since(start); quick < slow*2/3 {
		t.Errorf("nobody is refused in %v, a user with a dear hash in %v", quick, slow)
	}
}

func TestHashingIsBoundedInParallelAndQueue(t *testing.T) {
	h := NewHasher(Options{Parallel: 1, Queue: 2})
	var wg sync.WaitGroup
	var mu sync.Mutex
	busy, done := 0, 0
	for range 20 {
		wg.Go(func() {
			_, _, err := h.Verify(context.Background(), "", "x")
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrBusy) {
				busy++
			} else {
				done++
			}
		})
	}
	wg.Wait()
	if busy == 0 || done < 3 {
		t.Errorf("%d were refused and %d hashed; of 20 some must be refused and 3 hashed", busy, done)
	}
}

func TestWhoGivesUpWaitingIsNotHashed(t *testing.T) {
	h := NewHasher(Options{Parallel: 1})
	<-h.slots
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, _, err := h.Verify(ctx, "", "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	h = NewHasher(Options{Parallel: 1, Wait: time.Millisecond})
	<-h.slots
	if _, err := h.Hash(context.Background(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func TestLaterHandsOverAHash(t *testing.T) {
	h := NewHasher(Options{})
	got := ""
	h.Later("pw", func(hash string) { got = hash })
	h.Close()
	if ok, up, _ := h.Verify(context.Background(), got, "pw"); !ok || up {
		t.Errorf("the upgraded hash: ok=%v upgrade=%v", ok, up)
	}
}

func argonOf(password string, m, t uint32, p uint8) string {
	a := &argon2id{memory: m, passes: t, lanes: p, salt: make([]byte, 16), sum: make([]byte, 32)}
	return a.with(new(arena), password).String()
}

func FuzzStoredHash(f *testing.F) {
	for _, l := range htpasswdLines {
		f.Add(l)
	}
	f.Add("$argon2id$v=19$m=16,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$6$rounds=1000$ab$" + strings.Repeat("a", 86))
	f.Fuzz(func(t *testing.T, hash string) {
		s, err := readHash(hash)
		if err != nil {
			return
		}
		if b, ok := s.(*bcryptHash); ok && b.cost > 5 {
			return
		}
		if a, ok := s.(*argon2id); ok && (a.memory > 4096 || a.passes > 2) {
			return
		}
		s.matches(new(arena), "password") // must not panic
	})
}
