package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/secret"
)

// attemptLife is how long a person may take at the provider.
const attemptLife = 15 * time.Minute

// attempt is a login under way. It travels with the browser, encrypted, so that
// nothing piles up here, whatever was begun and never finished: in the state that goes
// to the provider and back, or with SAML, which has no room for it, as relay.go says.
type attempt struct {
	ID       string `json:"i"`
	Provider string `json:"p"`
	Return   string `json:"r"`           // checked when it came in
	Bind     string `json:"b"`           // of which browser: a hash of its login cookie
	Began    int64  `json:"t"`           // Unix seconds
	Again    bool   `json:"a,omitempty"` // it was started over already
	Host     string `json:"h,omitempty"` // the login is for another host of the gateway's …
	HostBind string `json:"k,omitempty"` // … whose cookie has this hash
}

// Faults of a state that comes back.
var (
	errForeign = errors.New("the state is none of this gateway's")
	errStale   = errors.New("the login took too long")
)

// states seals attempts.
type states struct {
	sealer *secret.Sealer
	secret []byte
	now    func() time.Time
}

func newStates(key []byte, now func() time.Time) (*states, error) {
	sealer, err := secret.NewSealer(key, "sallyport login state")
	if err != nil {
		return nil, err
	}
	derived, err := secret.Derive(key, "sallyport login secret")
	return &states{sealer, derived, now}, err
}

func (s *states) seal(a *attempt) string {
	plain, _ := json.Marshal(a) // strings and numbers
	return base64.RawURLEncoding.EncodeToString(s.sealer.Seal(plain, "state"))
}

// open reads a state. A stale attempt is answered with errStale: it is authentic,
// and tells where to start over.
func (s *states) open(text string) (*attempt, error) {
	if len(text) > 8<<10 {
		return nil, errForeign
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errForeign
	}
	plain, err := s.sealer.Open(raw, "state")
	if err != nil {
		return nil, errForeign
	}
	a := &attempt{}
	if json.Unmarshal(plain, a) != nil {
		return nil, errForeign
	}
	return a, s.fresh(a)
}

// fresh answers errStale of an attempt that took too long, or that is yet to begin.
func (s *states) fresh(a *attempt) error {
	if age := s.now().Sub(time.Unix(a.Began, 0)); age > attemptLife || age < -time.Minute {
		return errStale
	}
	return nil
}

// secretOf is what only the gateway can tell of an attempt, whatever the browser saw.
func (s *states) secretOf(a *attempt) string {
	m := hmac.New(sha256.New, s.secret)
	m.Write([]byte(a.ID))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// token is the value of the field csrf in a form that nobody has signed in for yet.
func (s *states) token(bind string) string {
	m := hmac.New(sha256.New, s.secret)
	m.Write([]byte("form\x00" + bind))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func newText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte("sallyport\x00" + s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
