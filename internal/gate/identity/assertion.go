package identity

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// claims are the assertion's, and all of them.
type claims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	Subject  string   `json:"sub"`
	Username string   `json:"preferred_username"`
	Client   string   `json:"client_id,omitempty"`
	Groups   []string `json:"groups"` // never null: consumers break on it
	Roles    []string `json:"roles"`
	AMR      []string `json:"amr"`
	Session  string   `json:"sid,omitempty"`
	Issued   int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	ID       string   `json:"jti"`
}

// token is a minted assertion that may still be handed out.
type token struct {
	service  *model.Service
	sid, amr string
	key      *key
	refresh  time.Time // from here on a new one is minted
	text     string
}

// maxTokens bounds how many services' assertions one caller remembers.
const maxTokens = 8

// Assertion is the signed statement of who calls, for one service. amr are the
// methods that proved it, separated by spaces; sid is the session, "" = none.
//
// One assertion serves the requests of its caller to its service while more than
// half of its life remains, so that it costs a signature twice a lifetime and
// not once a request. Its jti therefore names an assertion, not a request.
func (s *Signer) Assertion(v *Values, service *model.Service, sid, amr string) (string, error) {
	now := s.now()
	ring := s.current(now)
	if t := v.token(service, sid, amr); t != nil && t.key == ring.active {
		if now.Before(t.refresh) {
			return t.text, nil
		}
		// One request renews it; the others go on with what still has some life.
		if slack := service.Assertion.Lifetime.D() / 4; now.Before(t.refresh.Add(slack)) {
			if !v.minting.TryLock() {
				return t.text, nil
			}
			defer v.minting.Unlock()
			return s.mint(v, service, sid, amr, ring, now)
		}
	}
	v.minting.Lock()
	defer v.minting.Unlock()
	if t := v.token(service, sid, amr); t != nil && t.key == ring.active && now.Before(t.refresh) {
		return t.text, nil
	}
	return s.mint(v, service, sid, amr, ring, now)
}

func (v *Values) token(service *model.Service, sid, amr string) *token {
	list := v.tokens.Load()
	if list == nil {
		return nil
	}
	for i := range *list {
		if t := &(*list)[i]; t.service == service && t.sid == sid && t.amr == amr {
			return t
		}
	}
	return nil
}

// mint signs a new assertion and remembers it. v.minting is held.
func (s *Signer) mint(v *Values, service *model.Service, sid, amr string, ring *ring, now time.Time) (string, error) {
	life := service.Assertion.Lifetime.D()
	issued := now.Truncate(time.Second)
	payload, err := json.Marshal(&claims{
		Issuer: s.issuer, Audience: service.Audience(),
		Subject: v.subject, Username: v.username, Client: v.client,
		Groups: orEmpty(v.groups), Roles: orEmpty(v.roles), AMR: orEmpty(strings.Fields(amr)), Session: sid,
		Issued: issued.Unix(), Expires: issued.Add(life).Unix(), ID: rand.Text(),
	})
	if err != nil {
		return "", err
	}
	signed, err := ring.active.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return "", err
	}
	v.remember(token{service: service, sid: sid, amr: amr, key: ring.active, refresh: issued.Add(life / 2), text: text})
	return text, nil
}

func (v *Values) remember(t token) {
	var old []token
	if p := v.tokens.Load(); p != nil {
		old = *p
	}
	list := make([]token, 0, len(old)+1)
	list = append(list, t)
	for _, o := range old {
		if len(list) < maxTokens && !(o.service == t.service && o.sid == t.sid && o.amr == t.amr) {
			list = append(list, o)
		}
	}
	v.tokens.Store(&list)
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
