package saml

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ownKey is the gateway's own key pair, with which it signs its messages and to
// which providers encrypt. RSA, because identity providers that take others are rare.
type ownKey struct {
	mu   sync.Mutex
	pair *keyPair
}

type keyPair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

const (
	ownBits = 3072
	ownLife = 20 * 365 * 24 * time.Hour
)

// load reads the pair, or makes it where there is none. The certificate is only a
// coat for the key: providers pin it by the metadata, and so it lives long.
func (o *ownKey) load(dir string, now time.Time) (*keyPair, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pair != nil {
		return o.pair, nil
	}
	path := filepath.Join(dir, "keys", "saml.pem")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := makePair(path, now); err != nil {
			return nil, fmt.Errorf("making the SAML key: %w", err)
		}
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the SAML key: %w", err)
	}
	pair, err := parsePair(b)
	if err != nil {
		return nil, fmt.Errorf("the SAML key %s: %w", path, err)
	}
	o.pair = pair
	return pair, nil
}

func parsePair(b []byte) (*keyPair, error) {
	p := &keyPair{}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		switch block.Type {
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			key, ok := k.(*rsa.PrivateKey)
			if !ok {
				return nil, errors.New("is no RSA key")
			}
			p.key = key
		case "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			p.cert = cert
		}
	}
	if p.key == nil || p.cert == nil || !p.key.PublicKey.Equal(p.cert.PublicKey) {
		return nil, errors.New("does not hold a private key and its certificate")
	}
	return p, nil
}

// makePair writes a new pair as a whole or not at all. Of two processes that do so
// at once the first wins, and both read what it wrote.
func makePair(path string, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, ownBits)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Sallyport SAML"},
		NotBefore:    now.Add(-24 * time.Hour), // clocks of providers may be behind
		NotAfter:     now.Add(ownLife),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	temp, err := os.CreateTemp(filepath.Dir(path), ".saml-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
