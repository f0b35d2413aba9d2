package bearer

import (
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// skew is how far the issuer's clock may be off.
const skew = 30 * time.Second

// latest bounds times in claims: the year 9999. Larger ones overflow in somebody's
// arithmetic (mod_auth_openidc's hardening of 2026).
const latest = 253402300799

// moment reads a NumericDate (RFC 7519, 2). The zero time means that it is absent.
func moment(v any, there bool) (t time.Time, ok bool) {
	if !there {
		return time.Time{}, true
	}
	n, isNumber := v.(float64)
	if !isNumber || !(n >= 0 && n <= latest) {
		return time.Time{}, false
	}
	whole := int64(n)
	return time.Unix(whole, int64((n-float64(whole))*1e9)), true
}

// times reads when a token begins and ends, and refuses one that lies outside: but
// for its end, which has a code of its own.
func times(claims map[string]any, now time.Time) (exp, iat time.Time, fault string) {
	at := func(name string) (time.Time, bool) {
		v, there := claims[name]
		return moment(v, there)
	}
	exp, ok1 := at("exp")
	nbf, ok2 := at("nbf")
	iat, ok3 := at("iat")
	switch {
	case !ok1 || !ok2 || !ok3:
		fault = "the token's exp, nbf or iat is no number, or out of bounds"
	case nbf.After(now.Add(skew)):
		fault = "the token is not valid yet (nbf)"
	case iat.After(now.Add(skew)):
		fault = "the token was issued in the future (iat)"
	}
	return exp, iat, fault
}

// check judges the claims of a token whose signature is verified.
func (p *provider) check(t *token, now time.Time) (*authn.Proof, authn.Result) {
	exp, iat, fault := times(t.claims, now)
	if fault == "" && exp.IsZero() && !p.allowMissing("exp") {
		fault = "the token has no exp"
	}
	if fault == "" {
		fault = purpose(t.claims)
	}
	if fault != "" {
		return nil, refuse(fault)
	}
	return prove(p.model, t.claims, exp, iat, now)
}

// prove makes the proof of a token that its provider vouches for.
func prove(p *model.IdentityProvider, claims map[string]any, exp, iat, now time.Time) (*authn.Proof, authn.Result) {
	sub, ok := strict.Name(claims["sub"])
	if !ok {
		return nil, refuse("the token has no sub that could name anybody")
	}
	proof := &authn.Proof{Method: model.MethodBearer, Provider: p.Name, Subject: sub, Claims: claims, Issued: iat}
	if !exp.IsZero() {
		proof.Expires = exp.Add(skew)
		if proof.Expired(now) {
			return nil, authn.Result{Outcome: authn.Bad, Err: expiredToken, Detail: "the token expired at " + exp.UTC().Format(time.RFC3339)}
		}
	}
	if p.Scopes == "narrow" {
		proof.Narrow, proof.Scopes = true, scopes(claims)
	}
	return proof, authn.Result{}
}

// purpose keeps out logout tokens and security events of issuers that do not type
// them: they say whose session ends, not who is calling.
func purpose(claims map[string]any) string {
	if e, there := claims["events"].(map[string]any); there {
		for name := range e {
			if strings.HasPrefix(name, "http://schemas.openid.net/") || strings.HasPrefix(name, "https://schemas.openid.net/") {
				return "the token is a security event, not an access token"
			}
		}
	}
	return ""
}

// scopes are the names in scope (RFC 8693: a text, parted by spaces; some issuers
// send a list), else in scp.
func scopes(claims map[string]any) (out []string) {
	v, ok := claims["scope"]
	if !ok {
		v = claims["scp"]
	}
	switch v := v.(type) {
	case string:
		out = strings.Fields(v)
	case []any:
		for _, s := range v {
			if s, ok := s.(string); ok && s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
