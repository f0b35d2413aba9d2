package login

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// SAML gives a RelayState 80 bytes (bindings 3.4.3 and 3.5.3), into which no sealed
// attempt goes. What travels with its messages is the attempt's name alone; the
// attempt stays with the browser, in one cookie for all tabs, and in memory, for the
// tabs that begin at the same moment and overwrite each other's cookie, and for
// addresses that are too long for one.
const (
	relayCookie = "__Host-sallyport-relay"
	relayPrefix = "sp." // of the name; what a provider that begins by itself sends along has none
	relayAgain  = "again."
	// mostRelay bounds the cookie's value: browsers take 4,096 bytes with its name.
	mostRelay = 3 << 10
	// relayLife is how long it is kept: a login that took too long starts over, and
	// leads to the page that was wanted.
	relayLife = time.Hour
	// mostRelayed bounds what is in memory; the oldest go first.
	mostRelayed = 1 << 12
)

// errLost is said of a name that means nothing here any more.
var errLost = errors.New("the login is not known here any more")

// relays are the latest attempts, by their names.
type relays struct {
	mu    sync.Mutex
	known map[string]attempt
	names [mostRelayed]string
	next  int
}

func newRelays() *relays { return &relays{known: map[string]attempt{}} }

func (r *relays) put(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, r.names[r.next])
	r.known[a.ID], r.names[r.next] = *a, a.ID
	r.next = (r.next + 1) % len(r.names)
}

func (r *relays) get(id string) (attempt, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.known[id]
	return a, ok
}

// relay keeps an attempt and answers the name by which it comes back.
func (v *visit) relay(a *attempt) string {
	v.desk.relays.put(a)
	v.setRelayed(append([]attempt{*a}, v.relayed()...))
	if a.Again {
		return relayPrefix + relayAgain + a.ID
	}
	return relayPrefix + a.ID
}

// open finds the attempt that a state or a RelayState belongs to. With errStale there
// is an attempt too, and with errLost what its name tells.
func (v *visit) open(state string) (*attempt, error) {
	id, named := strings.CutPrefix(state, relayPrefix)
	if !named {
		return v.desk.states.open(state)
	}
	id, again := strings.CutPrefix(id, relayAgain)
	for _, a := range v.relayed() {
		if a.ID == id {
			return &a, v.desk.states.fresh(&a)
		}
	}
	if a, ok := v.desk.relays.get(id); ok {
		return &a, v.desk.states.fresh(&a)
	}
	return &attempt{Return: "/", Again: again}, errLost
}

// relayed are the attempts in the browser's cookie, the newest first.
func (v *visit) relayed() (list []attempt) {
	text := v.cookie(relayCookie)
	if text == "" || len(text) > mostRelay {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil
	}
	plain, err := v.desk.states.sealer.Open(raw, relayCookie)
	if err != nil || json.Unmarshal(plain, &list) != nil {
		return nil
	}
	return list
}

// setRelayed gives the browser its cookie, with as many attempts as it has room for.
func (v *visit) setRelayed(list []attempt) {
	const around = 2 + 12 + 16 // comma, bracket, nonce and tag
	plain := []byte("[")
	for i := range list {
		one, _ := json.Marshal(&list[i]) // strings and numbers
		size := base64.RawURLEncoding.EncodedLen(len(plain) + len(one) + around)
		if size > mostRelay || v.now.Sub(time.Unix(list[i].Began, 0)) > relayLife {
			continue
		}
		if len(plain) > 1 {
			plain = append(plain, ',')
		}
		plain = append(plain, one...)
	}
	if len(plain) == 1 {
		if v.cookie(relayCookie) != "" {
			v.setCookie(relayCookie, "", http.SameSiteNoneMode)
		}
		return
	}
	sealed := v.desk.states.sealer.Seal(append(plain, ']'), relayCookie)
	c := &http.Cookie{Name: relayCookie, Value: base64.RawURLEncoding.EncodeToString(sealed), Path: "/", Secure: true, HttpOnly: true,
		SameSite: http.SameSiteNoneMode, // for it comes back with the provider's form
		MaxAge:   int(relayLife.Seconds())}
	v.w.Header().Add("Set-Cookie", c.String())
}

// relayDone takes an attempt that is over out of the browser's cookie.
func (v *visit) relayDone(a *attempt) {
	list := v.relayed()
	for i := range list {
		if list[i].ID == a.ID {
			v.setRelayed(append(list[:i:i], list[i+1:]...))
			return
		}
	}
}
