package bearer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// held enforces sender constraints (RFC 7800): a token with cnf is worth something
// only in the hands of who it was issued to. All that it names must be met, and
// what cannot be checked here is not met. It is asked on every request, for the
// token may be cached, and the connection or the proof another one.
func (m *Method) held(p *authn.Proof, r *model.Request, token string, dpop bool, now time.Time) authn.Result {
	cnf, there := p.Claims["cnf"]
	if !there {
		if dpop { // RFC 9449, 7.1: the scheme is for bound tokens
			return refuse("the token came as DPoP, and is bound to no key")
		}
		return authn.Result{Outcome: authn.Proven, Proof: p}
	}
	c, _ := cnf.(map[string]any)
	if len(c) == 0 {
		return refuse("the token's cnf says nothing")
	}
	jkt := ""
	for name, v := range c {
		want, _ := v.(string)
		switch {
		case name == "x5t#S256" && shows(r, want):
		case name == "x5t#S256":
			return refuse("the token is bound to a client certificate, and this connection has not shown that one")
		case name == "jkt" && want != "":
			jkt = want
		default:
			return refuse("the token is bound (cnf) in a way that cannot be checked: " + quote(name))
		}
	}
	switch {
	case jkt == "" && dpop:
		return refuse("the token came as DPoP, and is bound to no key")
	case jkt == "":
		return authn.Result{Outcome: authn.Proven, Proof: p}
	case !dpop: // RFC 9449, 7.2: else a stolen token would do without its key
		return authn.Result{Outcome: authn.Bad, Err: boundToken, Detail: "the token is bound to a key (DPoP), and was sent as Bearer"}
	}
	if res, ok := m.possession(r, token, jkt, now); !ok {
		return res
	}
	return authn.Result{Outcome: authn.Proven, Proof: p}
}

// shows says whether the connection has shown the certificate of that thumbprint
// (RFC 8705, 3.1).
func shows(r *model.Request, want string) bool {
	if want == "" || r.TLS == nil || r.TLS.Certificate == nil || r.TLS.CertificateFault != "" {
		return false
	}
	sum := sha256.Sum256(r.TLS.Certificate.Raw)
	var have [43]byte
	base64.RawURLEncoding.Encode(have[:], sum[:])
	return len(want) == len(have) && subtle.ConstantTimeCompare(have[:], []byte(want)) == 1
}
