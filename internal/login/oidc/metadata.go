package oidc

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// metadata is what a discovery document says (OpenID Connect Discovery 1.0, 3),
// as far as it is used here.
type metadata struct {
	issuer         string
	authorization  *url.URL
	token          *url.URL
	userInfo       *url.URL // nil = none
	endSession     *url.URL // nil = none
	keys           string
	tokenAuth      []string // nil = client_secret_basic
	tokenAlgs      []string // of private_key_jwt; nil = not said
	algorithms     []string // of id tokens: what the provider says, as far as it is asymmetric
	announcesIss   bool     // RFC 9207
	pkce           []string // nil = not said
	responseTypes  []string
	scopes         []string
	backChannel    bool
	backChannelSID bool
}

// readMetadata reads the document of an issuer. Its error continues a sentence
// that begins with the document.
func readMetadata(issuer string, b []byte) (*metadata, error) {
	doc, err := strict.Object(b)
	if err != nil {
		return nil, fmt.Errorf("is no discovery document but %s", strict.Instead(b))
	}
	// OpenID Connect Discovery 4.3: else one issuer could speak for another.
	if got, _ := doc["issuer"].(string); got != issuer {
		return nil, &issuerError{got: got, want: issuer}
	}
	m := &metadata{issuer: issuer}
	for _, e := range []struct {
		name string
		to   **url.URL
		must bool
	}{
		{"authorization_endpoint", &m.authorization, true}, {"token_endpoint", &m.token, true},
		{"userinfo_endpoint", &m.userInfo, false}, {"end_session_endpoint", &m.endSession, false},
	} {
		u, err := endpoint(doc, e.name)
		if err != nil {
			return nil, err
		}
		if u == nil && e.must {
			return nil, fmt.Errorf("has no %s", e.name)
		}
		*e.to = u
	}
	jwks, err := endpoint(doc, "jwks_uri")
	if err != nil || jwks == nil {
		return nil, errors.Join(errors.New("has no usable jwks_uri"), err)
	}
	m.keys = jwks.String()
	m.tokenAuth = texts(doc["token_endpoint_auth_methods_supported"])
	m.tokenAlgs = texts(doc["token_endpoint_auth_signing_alg_values_supported"])
	m.pkce = texts(doc["code_challenge_methods_supported"])
	m.responseTypes = texts(doc["response_types_supported"])
	m.scopes = texts(doc["scopes_supported"])
	m.announcesIss, _ = doc["authorization_response_iss_parameter_supported"].(bool)
	m.backChannel, _ = doc["backchannel_logout_supported"].(bool)
	m.backChannelSID, _ = doc["backchannel_logout_session_supported"].(bool)
	m.algorithms = model.JWTAlgorithms()
	if said, there := doc["id_token_signing_alg_values_supported"]; there {
		list := texts(said)
		m.algorithms = slices.DeleteFunc(m.algorithms, func(a string) bool { return !slices.Contains(list, a) })
	}
	return m, nil
}

// issuerError says that a document is of another issuer than it was asked of.
type issuerError struct{ got, want string }

func (e *issuerError) Error() string {
	return fmt.Sprintf("is of the issuer %s, not %s", quote(e.got), quote(e.want))
}

// endpoint reads a URL to which browsers, codes or secrets are sent; nil = none.
func endpoint(doc map[string]any, name string) (*url.URL, error) {
	v, there := doc[name]
	if !there || v == nil {
		return nil, nil
	}
	s, _ := v.(string)
	u, err := url.Parse(s)
	if err != nil || !model.SecureURL(u) || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, fmt.Errorf("has as %s %s, which is not an https URL (or http on loopback)", name, quote(s))
	}
	return u, nil
}

// texts are the texts of a list; nil where there is none.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
