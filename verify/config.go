package verify

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// DefaultHeader is where the gateway puts its assertion unless told otherwise.
const DefaultHeader = "X-Sallyport-Assertion"

// Config says whom a backend believes. At least one of Issuer and Issuers is
// needed; everything else has a default.
type Config struct {
	// Issuer is the gateway's externalURL, exactly as it stands in iss. Empty:
	// no assertion is accepted, only tokens of Issuers.
	Issuer string
	// Audience is the aud of the assertions meant for this backend: the
	// service's name at the gateway, or its assertion.audience.
	Audience string
	// JWKSURL is where the gateway's keys are; by default Issuer +
	// "/.well-known/jwks.json". It is https, or http on loopback.
	JWKSURL string
	// Keys are the gateway's public keys by kid, instead of JWKSURL.
	Keys map[string]crypto.PublicKey
	// Header is the name of the header that carries the assertion; by default
	// DefaultHeader.
	Header string

	// Issuers are identity providers whose JWT, forwarded in Authorization:
	// Bearer (callerCredential: forward), is believed where a request has no
	// assertion.
	Issuers []Issuer

	// Policy, or PolicyFile, says which callers may do what. Without either,
	// every verified caller may do everything. The file is read again when it
	// changes; a broken one is reported to Logger, and the last good one holds.
	Policy     *Policy
	PolicyFile string

	// ClockSkew is how far the clocks may differ; by default 30 s.
	ClockSkew time.Duration
	// MaxAge is how old an assertion may be since its iat, however late it
	// expires; by default 1 h, the longest that the gateway issues.
	MaxAge time.Duration

	// Client fetches keys; by default one with a timeout of 10 s that does not
	// follow redirects.
	Client *http.Client
	// Logger is told of keys that cannot be fetched and policies that cannot be
	// read; by default slog.Default().
	Logger *slog.Logger
	// Now is the clock; by default time.Now.
	Now func() time.Time
}

// Issuer is an identity provider whose JWTs are believed.
type Issuer struct {
	Issuer    string   // exactly as in iss
	Audiences []string // one of them must be in aud; required
	JWKSURL   string   // https, or http on loopback
	Keys      map[string]crypto.PublicKey
	// Algorithms are those accepted; by default every asymmetric one that fits
	// the issuer's keys: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384,
	// ES512, EdDSA. HMAC and none never are.
	Algorithms []string
}

// New checks the configuration, all faults at once, and makes a Verifier. Keys
// are fetched when they are first needed.
func New(c Config) (*Verifier, error) {
	c.defaults()
	v := &Verifier{header: c.Header, skew: c.ClockSkew, maxAge: c.MaxAge, now: c.Now, log: c.Logger, tokens: map[string]*trust{}}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if c.Issuer == "" && len(c.Issuers) == 0 {
		fault("verify: neither Issuer nor Issuers is set: there is nobody to believe")
	}
	if c.Issuer != "" {
		if c.Audience == "" {
			fault("verify: Audience is empty; it is the service's name at the gateway")
		}
		if c.JWKSURL == "" {
			c.JWKSURL = strings.TrimSuffix(c.Issuer, "/") + "/.well-known/jwks.json"
		}
		keys, err := c.source(c.JWKSURL, c.Keys)
		if err != nil {
			fault("verify: Issuer: %w", err)
		}
		v.gateway = &trust{issuer: c.Issuer, audiences: []string{c.Audience}, keys: keys, algorithms: assertionAlgorithms}
	}
	for i, is := range c.Issuers {
		t, err := c.trust(is)
		if err != nil {
			fault("verify: Issuers[%d]: %w", i, err)
			continue
		}
		if is.Issuer == c.Issuer || v.tokens[is.Issuer] != nil {
			fault("verify: Issuers[%d]: %q is listed already", i, is.Issuer)
		}
		v.tokens[is.Issuer] = t
	}
	v.home = c.Issuer
	if c.Issuer == "" && len(c.Issuers) == 1 {
		v.home = c.Issuers[0].Issuer
	}
	if err := v.policies(c.Policy, c.PolicyFile); err != nil {
		fault("verify: %w", err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return v, nil
}

func (c *Config) defaults() {
	if c.Header == "" {
		c.Header = DefaultHeader
	}
	if c.ClockSkew <= 0 {
		c.ClockSkew = 30 * time.Second
	}
	if c.MaxAge <= 0 {
		c.MaxAge = time.Hour
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func (c *Config) trust(is Issuer) (*trust, error) {
	if is.Issuer == "" {
		return nil, errors.New("Issuer is empty")
	}
	t := &trust{issuer: is.Issuer, algorithms: tokenAlgorithms}
	for _, a := range is.Audiences {
		if a != "" {
			t.audiences = append(t.audiences, a)
		}
	}
	if len(t.audiences) == 0 {
		return nil, errors.New("empty Audiences: a token for somebody else would pass")
	}
	if len(is.Algorithms) > 0 {
		t.algorithms = nil
		for _, name := range is.Algorithms {
			a, ok := algorithm(name)
			if !ok {
				return nil, fmt.Errorf("%q is not an asymmetric algorithm of RFC 7518 or 8037", name)
			}
			t.algorithms = append(t.algorithms, a)
		}
	}
	keys, err := c.source(is.JWKSURL, is.Keys)
	t.keys = keys
	return t, err
}

func (c *Config) source(address string, keys map[string]crypto.PublicKey) (source, error) {
	if len(keys) > 0 {
		return fixedKeys(keys)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("JWKSURL %q is not a URL, and Keys is empty", address)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, fmt.Errorf("JWKSURL %q is not https: whoever is on the path could hand out keys", address)
	}
	return &remote{url: address, client: c.Client, now: c.Now, log: c.Logger}, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// source finds the keys that a token may be verified with.
type source interface {
	// find gives the keys of that id ("" = all). An error says that it cannot
	// be told; no keys, that there is none.
	find(ctx context.Context, kid string) ([]publicKey, error)
}
