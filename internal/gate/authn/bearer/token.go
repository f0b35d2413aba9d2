package bearer

import (
	"strings"

	"github.com/sallyport/sallyport/internal/strict"
)

// maxToken is the longest token that is looked at.
const maxToken = 16 << 10

// token is a JWT that was taken apart; nothing of it is proven yet.
type token struct {
	raw       string
	algorithm string
	kid       string
	payload   []byte
	claims    map[string]any
	issuer    string
	audiences []string
}

// forbidden are header parameters by which a token would choose its own key, or
// ask for treatment that it does not get here (RFC 7515, RFC 7797, RFC 8725).
var forbidden = []string{"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"}

// read takes a token apart; fault says why it cannot be one of ours.
func read(raw string) (t *token, fault string) {
	if len(raw) > maxToken {
		return nil, "the token is longer than 16 KiB"
	}
	head, rest, ok1 := strings.Cut(raw, ".")
	body, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(signature, ".") {
		return nil, "the token is not a signed JWT"
	}
	h, ok1 := strict.Base64URL(head)
	payload, ok2 := strict.Base64URL(body)
	if _, ok3 := strict.Base64URL(signature); !ok1 || !ok2 || !ok3 {
		return nil, "the token is not a signed JWT: its parts are not base64url"
	}
	t = &token{raw: raw, payload: payload}
	if fault := t.readHeader(h); fault != "" {
		return nil, fault
	}
	var err error
	if t.claims, err = strict.Object(payload); err != nil {
		return nil, "the token's claims are " + err.Error()
	}
	return t, t.readTarget()
}

func (t *token) readHeader(b []byte) (fault string) {
	h, err := strict.Object(b)
	if err != nil {
		return "the token's header is " + err.Error()
	}
	for _, name := range forbidden {
		if _, there := h[name]; there {
			return "the token's header has " + name + ", which is never accepted"
		}
	}
	var ok bool
	if t.algorithm, ok = strict.Text(h["alg"]); !ok {
		return "the token's header has no alg"
	}
	if kid, there := h["kid"]; there {
		if t.kid, ok = strict.Text(kid); !ok || len(t.kid) > 512 {
			return "the token's kid is not a text"
		}
	}
	if typ, there := h["typ"]; there && !accessTokenType(typ) {
		return "the token is of another type than JWT or at+jwt"
	}
	return ""
}

// accessTokenType keeps out what issuers sign for other purposes with the same
// keys: logout tokens, DPoP proofs, security events (RFC 8725, 3.11).
func accessTokenType(v any) bool {
	s, _ := v.(string)
	s = strings.TrimPrefix(strings.ToLower(s), "application/")
	return s == "jwt" || s == "at+jwt"
}

// readTarget finds who is said to have issued the token, and for whom.
func (t *token) readTarget() (fault string) {
	var ok bool
	if t.issuer, ok = strict.Text(t.claims["iss"]); !ok {
		return "the token has no iss"
	}
	return t.readAudiences()
}

func (t *token) readAudiences() (fault string) {
	aud, there := t.claims["aud"]
	switch v := aud.(type) {
	case string:
		t.audiences = []string{v}
	case []any:
		for _, a := range v {
			s, ok := strict.Text(a)
			if !ok {
				return "the token's aud is not a list of texts"
			}
			t.audiences = append(t.audiences, s)
		}
	default:
		if there {
			return "the token's aud is neither a text nor a list"
		}
	}
	return ""
}
