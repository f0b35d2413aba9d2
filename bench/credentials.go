package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/crypto/bcrypt"
)

// credentials are what callers show in a measurement, and the files by which the
// proxies check them.
type credentials struct {
	cert, key, both        string            // PEM files of the TLS certificate, P-256
	public                 map[string]string // PEM file of the key of each algorithm
	token                  map[string]string // a token of each algorithm
	forged                 map[string]string // the same, with a signature of another key
	user, password, bcrypt string
}

const (
	audience = "bench"
	tokenTTL = 12 * time.Hour
	// bcryptCost is what SPEC 17 asks for.
	bcryptCost = 10
)

func issuer(alg string) string { return "https://" + alg + ".example.com" }

func makeCredentials(dir string) (*credentials, error) {
	c := &credentials{cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), both: filepath.Join(dir, "tls.pem"),
		public: map[string]string{}, token: map[string]string{}, forged: map[string]string{}, user: "basic-caller", password: "a password of this run"}
	hash, err := bcrypt.GenerateFromPassword([]byte(c.password), bcryptCost)
	if err != nil {
		return nil, err
	}
	// $2a$ and $2y$ mean the same of what is hashed here; crypt(3) knows both.
	c.bcrypt = "$2y" + string(hash[3:])
	if err := c.certificate(); err != nil {
		return nil, err
	}
	for _, alg := range []string{"RS256", "ES256"} {
		if err := c.tokens(dir, alg); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *credentials) certificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for path, b := range map[string][]byte{c.cert: chain, c.key: secret, c.both: append(chain[:len(chain):len(chain)], secret...)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func signingKey(alg string) (crypto.Signer, error) {
	if alg == "RS256" {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func (c *credentials) tokens(dir, alg string) error {
	key, err := signingKey(alg)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	c.public[alg] = filepath.Join(dir, alg+".pem")
	if err := os.WriteFile(c.public[alg], pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	if c.token[alg], err = sign(alg, key); err != nil {
		return err
	}
	other, err := signingKey(alg)
	if err != nil {
		return err
	}
	c.forged[alg], err = sign(alg, other)
	return err
}

// sign makes a token like those of the usual issuers.
func sign(alg string, key crypto.Signer) (string, error) {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(s).Claims(jwt.Claims{Issuer: issuer(alg), Subject: "caller-" + alg, Audience: jwt.Audience{audience}, ID: "f3a1c0de",
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)), Expiry: jwt.NewNumericDate(now.Add(tokenTTL))}).
		Claims(map[string]any{"preferred_username": "caller-" + alg, "scope": "orders:read orders:write", "azp": "web"}).Serialize()
}
