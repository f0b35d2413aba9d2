package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/model"
)

// assertion is a JWT by the gateway's own key (RFC 7523, 3), for one use.
func (r *Party) assertion(p *model.IdentityProvider, m *metadata) (string, error) {
	key, err := readClientKey(r.path(p.ClientKeyFile))
	if err != nil {
		return "", err
	}
	algorithm, err := signsWith(key, m.tokenAlgs)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("signing with the client's key: %w", err)
	}
	now := r.o.Now()
	claims, err := json.Marshal(map[string]any{"iss": p.ClientID, "sub": p.ClientID, "aud": assertionAudience(m), "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	if err != nil {
		return "", fmt.Errorf("writing the client's assertion: %w", err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("signing with the client's key: %w", err)
	}
	return signed.CompactSerialize()
}

// assertionAudience is the token endpoint, as OpenID Connect Core 9 asks for and
// many providers demand. Where that is on another host than the issuer it is the
// issuer: else a hostile provider could name the endpoint of another one and play
// the assertion there.
func assertionAudience(m *metadata) string {
	issuer, err := url.Parse(m.issuer)
	if err == nil && issuer.Scheme == m.token.Scheme && issuer.Host == m.token.Host {
		return m.token.String()
	}
	return m.issuer
}

// signsWith is the algorithm for a key, of those that the provider accepts.
func signsWith(key crypto.Signer, accepted []string) (jose.SignatureAlgorithm, error) {
	var fit []string
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < 2048 {
			return "", fmt.Errorf("the client's RSA key has %d bits; make one of at least 2048", pub.N.BitLen())
		}
		fit = []string{"RS256", "PS256", "RS384", "PS384", "RS512", "PS512"}
	case *ecdsa.PublicKey:
		switch pub.Curve.Params().BitSize {
		case 256:
			fit = []string{"ES256"}
		case 384:
			fit = []string{"ES384"}
		case 521:
			fit = []string{"ES512"}
		}
	case ed25519.PublicKey:
		fit = []string{"EdDSA"}
	}
	if len(fit) == 0 {
		return "", errors.New("the client's key is not RSA, EC (P-256, P-384, P-521) or Ed25519")
	}
	for _, a := range fit {
		if slices.Contains(accepted, a) {
			return jose.SignatureAlgorithm(a), nil
		}
	}
	if accepted != nil {
		return "", fmt.Errorf("the provider accepts client assertions by %v, and the client's key makes %v", accepted, fit)
	}
	return jose.SignatureAlgorithm(fit[0]), nil
}

func (r *Party) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.o.Dir, name)
}

// CheckFile reads a provider's clientKeyFile, if it has one, and says what is wrong
// with it: for whoever is about to accept the provider.
func (r *Party) CheckFile(p *model.IdentityProvider) error {
	if p.Type != model.ProviderOIDC || p.ClientKeyFile == "" {
		return nil
	}
	key, err := readClientKey(r.path(p.ClientKeyFile))
	if err == nil {
		_, err = signsWith(key, nil)
	}
	return err
}

// readClientKey reads a PEM private key. It is read for each use, of which there
// are few: so a new one is taken up without a restart.
func readClientKey(path string) (crypto.Signer, error) {
	const most = 64 << 10
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading clientKeyFile: %w", err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return nil, fmt.Errorf("reading clientKeyFile: %w", err)
	}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil, fmt.Errorf("clientKeyFile %s holds no PEM private key", path)
		}
		var key any
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("clientKeyFile %s is encrypted; give the key without a passphrase, readable by the gateway alone", path)
		default:
			continue // parameters and certificates may stand beside it
		}
		if err != nil {
			return nil, fmt.Errorf("clientKeyFile %s is broken: %w", path, err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("clientKeyFile %s holds a key that cannot sign", path)
		}
		return signer, nil
	}
}
