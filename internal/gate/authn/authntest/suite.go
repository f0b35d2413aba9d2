package authntest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// Suite is what Run needs to know of a method.
type Suite struct {
	// Method makes the method, with nothing cached.
	Method func(t testing.TB) authn.Method
	// Good carries a credential that is proven. It is made anew each time.
	Good func(t testing.TB) *model.Request
	// Bad carry credentials of the method that are refused, by what is wrong with them.
	Bad map[string]func(t testing.TB) *model.Request
	// Absent carry nothing that is the method's, by what they carry instead.
	Absent map[string]func(t testing.TB) *model.Request
	// Secrets must never be seen in a finding.
	Secrets []string
	// Fail makes the directory fail; nil for methods that ask none.
	Fail func(error)
	// Once says that each credential is good for one request alone: repeating it is
	// refused, and every request costs a verification.
	Once bool
	// Deactivate makes the user of Good inactive; nil for outside identities.
	Deactivate func()
}

// Run tells whether a method keeps the contract of authn.Method.
func Run(t *testing.T, s Suite) {
	t.Run("a request without its credentials is not mine", s.absent)
	t.Run("a good credential is proven", s.good)
	t.Run("a repeated credential is the same proof and allocates nothing", s.repeated)
	t.Run("a bad credential is bad, before and after a good one", s.bad)
	t.Run("nothing of the request's buffer is kept", s.views)
	t.Run("no input panics, and every finding is well-formed", s.garbage)
	t.Run("many at once", s.many)
	t.Run("what cannot be looked up is unavailable, and never wrong", s.unavailable)
	t.Run("an inactive user is proven and left to the gate", s.inactive)
}

func (s Suite) ask(t testing.TB, m authn.Method, r *model.Request) authn.Result {
	t.Helper()
	res := m.Authenticate(context.Background(), r)
	s.wellFormed(t, m, res)
	return res
}

// wellFormed checks what the gate relies on, and that no secret shows.
func (s Suite) wellFormed(t testing.TB, m authn.Method, res authn.Result) {
	t.Helper()
	switch res.Outcome {
	case authn.NotMine:
		if res.Proof != nil || res.Err != nil {
			t.Errorf("not mine, with a proof or an error: %+v", res)
		}
	case authn.Proven:
		p := res.Proof
		if p == nil || res.Err != nil {
			t.Fatalf("proven without a proof, or with an error: %+v", res)
		}
		if p.Method != m.Name() {
			t.Errorf("the proof is of the method %q", p.Method)
		}
		if (p.Principal == nil) == (p.Subject == "") {
			t.Errorf("a proof is of a user or of an outside subject: %+v", p.Subject)
		}
		if p.Principal == nil && (p.Provider == "" || p.Claims["sub"] != p.Subject) {
			t.Errorf("an outside identity has a provider and claims: %q %v", p.Provider, p.Claims)
		}
	case authn.Bad:
		if res.Err == nil || res.Proof != nil {
			t.Fatalf("bad without an error, or with a proof: %+v", res)
		}
		switch res.Err.Code {
		case model.CredentialInvalid, model.CredentialExpired, model.IdentityUnavailable, model.Overloaded:
		default:
			t.Errorf("refused with the code %s", res.Err.Code)
		}
		if res.Detail == "" {
			t.Error("refused without a detail for the audit")
		}
		s.noSecrets(t, res.Err.Message)
		s.noSecrets(t, res.Err.Error())
	}
	s.noSecrets(t, res.Detail)
}

func (s Suite) noSecrets(t testing.TB, text string) {
	t.Helper()
	for _, secret := range s.Secrets {
		if strings.Contains(text, secret) {
			t.Errorf("a secret shows in %q", strings.ReplaceAll(text, secret, "SECRET"))
		}
	}
}

func (s Suite) absent(t *testing.T) {
	m := s.Method(t)
	cases := map[string]func(testing.TB) *model.Request{"nothing at all": func(testing.TB) *model.Request { return Request() }}
	for name, make := range s.Absent {
		cases[name] = make
	}
	for name, make := range cases {
		if res := s.ask(t, m, make(t)); res.Outcome != authn.NotMine {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

func (s Suite) good(t *testing.T) {
	m := s.Method(t)
	if res := s.ask(t, m, s.Good(t)); res.Outcome != authn.Proven {
		t.Fatalf("%v %s", res.Err, res.Detail)
	}
	r := s.Good(t)
	for i := range r.Fields {
		r.Fields[i].Dropped = true
	}
	if res := s.ask(t, m, r); res.Outcome != authn.Proven {
		t.Errorf("fields that are not forwarded are not seen: %s", res.Detail)
	}
}

func (s Suite) repeated(t *testing.T) {
	m, r := s.Method(t), s.Good(t)
	if s.Once {
		if s.ask(t, m, r).Outcome != authn.Proven || s.ask(t, m, r).Outcome != authn.Bad {
			t.Error("a credential that is good once was taken twice, or not at all")
		}
		return
	}
	first := s.ask(t, m, r).Proof
	if second := s.ask(t, m, r).Proof; first == nil || first != second {
		t.Error("the credential was verified twice")
	}
	if raceEnabled {
		return // the detector makes pools forget
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(200, func() { m.Authenticate(ctx, r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func (s Suite) bad(t *testing.T) {
	for name, make := range s.Bad {
		t.Run(name, func(t *testing.T) {
			m := s.Method(t)
			if res := s.ask(t, m, make(t)); res.Outcome != authn.Bad {
				t.Errorf("outcome %d: %s", res.Outcome, res.Detail)
			}
			s.ask(t, m, s.Good(t))
			if res := s.ask(t, m, make(t)); res.Outcome != authn.Bad {
				t.Errorf("after a good one: outcome %d: %s", res.Outcome, res.Detail)
			}
		})
	}
}

// views lays the request out as a door does, in one buffer that is used again.
func (s Suite) views(t *testing.T) {
	m := s.Method(t)
	want := Who(s.ask(t, m, s.Good(t)))
	m = s.Method(t)
	r := s.Good(t)
	var buffers [][]byte
	for i := range r.Fields {
		b := []byte(r.Fields[i].Value)
		buffers = append(buffers, b)
		r.Fields[i].Value = unsafe.String(unsafe.SliceData(b), len(b))
	}
	res := s.ask(t, m, r)
	for _, b := range buffers {
		for i := range b {
			b[i] = 'x'
		}
	}
	if got := Who(res); got != want {
		t.Errorf("the proof was of %q, and is of %q once the buffer is used again", want, got)
	}
	if got := Who(s.ask(t, m, s.Good(t))); got != want {
		t.Errorf("from the cache: %q, want %q", got, want)
	}
}

func (s Suite) garbage(t *testing.T) {
	m := s.Method(t)
	good := s.Good(t)
	try := func(i int, value string) {
		r := s.Good(t)
		r.Fields[i].Value = value
		s.ask(t, m, r)
	}
	for i := range good.Fields {
		v := good.Fields[i].Value
		for _, x := range []string{"", " ", "\x00", "\xff\xfe", strings.Repeat("a", 100_000), v + v, v + ",", v + ", " + v, v + "\x00",
			"Basic", "Basic ", "Basic\t=", "Bearer ..", "Bearer a.b.c", "ApiKey sp_", ":", "::", ":AAAA:", strings.Repeat("=", 100)} {
			try(i, x)
		}
		step := len(v)/150 + 1
		for j := 0; j < len(v); j += step {
			try(i, v[:j])
			try(i, v[:j]+"\xff"+v[j+1:])
			try(i, v[:j]+"A"+v[j+1:])
		}
		if s.Once {
			continue
		}
		r := s.Good(t)
		r.Fields = append(r.Fields, model.Field{Name: r.Fields[i].Name, Value: v})
		if res := s.ask(t, m, r); res.Outcome != authn.Proven {
			t.Errorf("the same credential twice is refused: %s", res.Detail)
		}
		r.Fields[len(r.Fields)-1].Value = v + "A"
		s.ask(t, m, r)
	}
}

func (s Suite) many(t *testing.T) {
	m := s.Method(t)
	var wg sync.WaitGroup
	for range 8 {
		r := s.Good(t)
		var each []*model.Request
		for range 20 {
			if s.Once {
				r = s.Good(t)
			}
			each = append(each, r)
		}
		wg.Go(func() {
			for _, r := range each {
				if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Proven {
					t.Errorf("outcome %d: %s", res.Outcome, res.Detail)
				}
			}
		})
	}
	wg.Wait()
}

func (s Suite) unavailable(t *testing.T) {
	if s.Fail == nil {
		t.Skip("it asks no directory")
	}
	defer s.Fail(nil)
	m := s.Method(t)
	s.Fail(errors.New("the store is down"))
	if res := s.ask(t, m, s.Good(t)); res.Outcome != authn.Bad || res.Err.Code != model.IdentityUnavailable {
		t.Errorf("with the store down: %+v", res)
	}
	s.Fail(nil)
	if res := s.ask(t, m, s.Good(t)); res.Outcome != authn.Proven {
		t.Errorf("with the store back: %s", res.Detail)
	}
	s.Fail(errors.New("the store is down"))
	if res := s.ask(t, m, s.Good(t)); res.Outcome != authn.Proven {
		t.Errorf("a credential that is known does not need the store: %s", res.Detail)
	}
}

func (s Suite) inactive(t *testing.T) {
	if s.Deactivate == nil {
		t.Skip("it knows no users")
	}
	m := s.Method(t)
	s.ask(t, m, s.Good(t))
	s.Deactivate()
	for range 2 { // read again, and from the cache
		res := s.ask(t, m, s.Good(t))
		if res.Outcome != authn.Proven || res.Proof.Principal.User.Active {
			t.Errorf("outcome %d %s; the principal must be the inactive user", res.Outcome, res.Detail)
		}
	}
}

// Request is a plain request with fields, as name and value in turn.
func Request(fields ...string) *model.Request {
	r := &model.Request{Method: "GET", Target: "/", Host: "api.example.com", Scheme: "https", Time: Time}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Fields = append(r.Fields, model.Field{Name: fields[i], Value: fields[i+1]})
	}
	return r
}

// Time is when the requests of tests come.
var Time = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// Now is a clock that stands at Time.
func Now() time.Time { return Time }

// Who is whom a result names.
func Who(r authn.Result) string {
	switch {
	case r.Proof == nil:
		return ""
	case r.Proof.Principal != nil:
		return strings.Clone(r.Proof.Principal.User.Username)
	}
	return strings.Clone(r.Proof.Provider + "/" + r.Proof.Subject)
}
