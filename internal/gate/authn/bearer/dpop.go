package bearer

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

const (
	// maxProof is the longest DPoP proof that is looked at.
	maxProof = 8 << 10
	// ProofAge is how far the time in a proof may lie from ours, to either side. It
	// is also for how long, twice, its jti is remembered.
	ProofAge = 60 * time.Second
)

// errProof and errBound are the causes of refusals that DPoP has to do with, by
// which Challenge knows what to say (RFC 9449, 7.1).
var (
	errProof = errors.New("the DPoP proof was refused")
	errBound = errors.New("the token is bound to a key")

	invalidProof = authn.Refusal(model.CredentialInvalid).WithCause(errProof)
	boundToken   = authn.Refusal(model.CredentialInvalid).WithCause(errBound)
	expiredBound = authn.Refusal(model.CredentialExpired).WithCause(errBound)
)

func refuseProof(detail string) authn.Result {
	return authn.Result{Outcome: authn.Bad, Err: invalidProof, Detail: "DPoP: " + detail}
}

// proofAlgorithms are those that a proof may be signed with: asymmetric ones, each
// for its own type of key.
const proofAlgorithms = "ES256 ES384 ES512 EdDSA PS256 PS384 PS512 RS256 RS384 RS512"

// private are the members of a JWK that no proof may show (RFC 9449, 4.3: the key
// in it is not a private one).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// proofForbidden are what a proof must not have beside its key.
var proofForbidden = []string{"jku", "x5u", "x5c", "crit", "b64", "zip", "enc"}

// proof is a DPoP proof, taken apart; nothing of it is proven yet.
type proof struct {
	raw, algorithm string
	key            keys.Key
	thumbprint     string
	payload        []byte
	claims         map[string]any
}

// readProof takes a proof apart; fault says why it cannot be one.
func readProof(raw string) (p *proof, fault string) {
	if len(raw) > maxProof {
		return nil, "the proof is longer than 8 KiB"
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, "the proof is not a signed JWT"
	}
	header, ok1 := strict.Base64URL(parts[0])
	payload, ok2 := strict.Base64URL(parts[1])
	if _, ok3 := strict.Base64URL(parts[2]); !ok1 || !ok2 || !ok3 {
		return nil, "the proof is not a signed JWT: its parts are not base64url"
	}
	h, err := strict.Object(header)
	if err != nil {
		return nil, "the proof's header is " + err.Error()
	}
	p = &proof{raw: raw, payload: payload}
	if fault := p.readHeader(h); fault != "" {
		return nil, fault
	}
	if p.claims, err = strict.Object(payload); err != nil {
		return nil, "the proof's claims are " + err.Error()
	}
	return p, ""
}

func (p *proof) readHeader(h map[string]any) (fault string) {
	for _, name := range proofForbidden {
		if _, there := h[name]; there {
			return "the proof's header has " + name + ", which is never accepted"
		}
	}
	if h["typ"] != "dpop+jwt" {
		return "the proof's typ is not dpop+jwt"
	}
	var ok bool
	if p.algorithm, ok = strict.Text(h["alg"]); !ok || !slices.Contains(strings.Fields(proofAlgorithms), p.algorithm) {
		return "the proof's alg is none of " + proofAlgorithms
	}
	jwk, ok := h["jwk"].(map[string]any)
	if !ok {
		return "the proof's header has no jwk"
	}
	for _, name := range private {
		if _, there := jwk[name]; there {
			return "the proof's jwk is not a public key; whoever sent it has given its private key away"
		}
	}
	b, err := json.Marshal(jwk)
	if err != nil {
		return "the proof's jwk is no JSON"
	}
	if p.key, err = keys.ParseJWK(b); err != nil {
		return "the proof's jwk is " + err.Error()
	}
	if !p.key.Fits(p.algorithm) {
		return "the proof's alg is not one for its key"
	}
	if p.thumbprint, err = p.key.Thumbprint(); err != nil {
		return "the proof's jwk is " + err.Error()
	}
	return ""
}

// signed says whether the key in the proof made its signature.
func (p *proof) signed() bool {
	jws, err := jose.ParseSignedCompact(p.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(p.algorithm)})
	if err != nil {
		return false
	}
	payload, err := jws.Verify(p.key.Public)
	return err == nil && bytes.Equal(payload, p.payload)
}

// possession checks that whoever sends this request holds the key that its token
// is bound to, by the steps of RFC 9449, 4.3. It is asked on every request, for a
// proof is good for one.
func (m *Method) possession(r *model.Request, token, jkt string, now time.Time) (authn.Result, bool) {
	raw, n := "", 0
	for i := range r.Fields {
		if f := &r.Fields[i]; model.EqualFold(f.Name, "DPoP") {
			raw, n = f.Value, n+1
		}
	}
	if n != 1 {
		return refuseProof("the request has no proof, or more than one field of them"), false
	}
	p, fault := readProof(raw)
	if fault == "" && (len(p.thumbprint) != len(jkt) || subtle.ConstantTimeCompare([]byte(p.thumbprint), []byte(jkt)) != 1) {
		fault = "the proof is of another key than the token is bound to"
	}
	if fault == "" && !p.signed() {
		fault = "the proof's signature is not by its key"
	}
	if fault == "" {
		fault = m.fits(p, r, token, now)
	}
	if fault != "" {
		return refuseProof(fault), false
	}
	jti, ok := strict.Text(p.claims["jti"])
	if !ok || len(jti) > 512 {
		return refuseProof("the proof has no jti"), false
	}
	first, room := true, true
	if r.Trial { // else asking about a request would use its proof up
		first = !m.replay.Seen(now, "dpop", p.thumbprint, jti)
	} else {
		first, room = m.replay.First(now, "dpop", p.thumbprint, jti)
	}
	switch {
	case !room:
		return authn.Unavailable("more DPoP proofs came than can be told from repeated ones", nil), false
	case !first:
		return refuseProof("the proof was used before (jti)"), false
	}
	return authn.Result{}, true
}

// fits says why a proof whose signature is good is not for this request, now, with
// this token.
func (m *Method) fits(p *proof, r *model.Request, token string, now time.Time) (fault string) {
	iat, ok := moment(p.claims["iat"], p.claims["iat"] != nil)
	exp, ok2 := moment(p.claims["exp"], p.claims["exp"] != nil)
	nbf, ok3 := moment(p.claims["nbf"], p.claims["nbf"] != nil)
	sum := sha256.Sum256([]byte(token))
	ath, _ := p.claims["ath"].(string)
	htu, _ := p.claims["htu"].(string)
	switch {
	case !ok || iat.IsZero():
		return "the proof has no iat"
	case iat.Before(now.Add(-ProofAge)) || iat.After(now.Add(ProofAge)):
		return "the proof is not of now (iat): it is good for a minute, and clocks may be off by as much"
	case !ok2 || !ok3 || !exp.IsZero() && !now.Before(exp.Add(skew)) || nbf.After(now.Add(skew)):
		return "the proof has expired, or is not valid yet"
	case p.claims["htm"] != r.Method:
		return "the proof is for another method (htm)"
	case !m.hosts.Ours(r.Host):
		return "the request's host " + quote(r.Host) + " is neither that of externalURL nor one that a route names: a proof for it may have been made for somebody else"
	case !target(htu, r):
		return "the proof is for another URL (htu), or the gateway does not know under which it was called"
	case ath != base64.RawURLEncoding.EncodeToString(sum[:]):
		return "the proof is for another token (ath)"
	}
	return ""
}

// target says whether htu is the URL that was called, without query and fragment
// (RFC 9449, 4.3, step 9). Host and scheme are what the gateway was called by, or
// what a trusted front end says.
func target(htu string, r *model.Request) bool {
	htu, _, _ = strings.Cut(htu, "#")
	htu, _, _ = strings.Cut(htu, "?")
	scheme, rest, ok := strings.Cut(htu, "://")
	if !ok || !strings.EqualFold(scheme, r.Scheme) || r.Host == "" {
		return false
	}
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	called, _, _ := strings.Cut(r.Target, "?")
	return authn.Authority(r.Scheme, authority) == authn.Authority(r.Scheme, r.Host) && plainPath(path) == plainPath(called)
}

// plainPath writes percent-encodings in one way (RFC 3986, 6.2.2): upper-case
// digits, none for what needs none.
func plainPath(s string) string {
	if s == "" {
		return "/"
	}
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			out = append(out, s[i])
			continue
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		switch c := hi<<4 | lo; {
		case hi > 15 || lo > 15:
			out = append(out, '%')
			continue
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~':
			out = append(out, c)
		default:
			out = append(out, '%', "0123456789ABCDEF"[hi], "0123456789ABCDEF"[lo])
		}
		i += 2
	}
	return string(out)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
