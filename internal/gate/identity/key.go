package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// key is one ES256 key, and from when it signs. Its file is PKCS #8 in PEM; the
// time is in the file's name, so that the file stays one that any tool reads.
type key struct {
	id      string // RFC 7638 thumbprint
	from    time.Time
	file    string
	private *ecdsa.PrivateKey
	signer  jose.Signer
}

const (
	filePrefix = "assertion-"
	fileSuffix = ".pem"
	fileTime   = "20060102T150405Z"
	fileTemp   = ".tmp" // what an interrupted write leaves behind
)

// loadKeys reads the folder, in the order in which the keys sign.
func loadKeys(dir string) ([]*key, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of assertion keys: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the folder of assertion keys: %w", err)
	}
	var keys []*key
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, filePrefix) {
			continue
		}
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, fileTemp) {
			_ = os.Remove(path)
			continue
		}
		if !strings.HasSuffix(name, fileSuffix) {
			continue
		}
		k, err := readKey(path)
		if err != nil {
			return nil, fmt.Errorf("reading the assertion key %s: %w", path, err)
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b *key) int { return a.from.Compare(b.from) })
	return keys, nil
}

func readKey(path string) (*key, error) {
	stamp := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), filePrefix), fileSuffix)
	from, err := time.Parse(fileTime, stamp)
	if err != nil {
		return nil, fmt.Errorf("its name is not %s, a time as in %s, and %s", filePrefix, fileTime, fileSuffix)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may use it (mode %04o); if nobody did, chmod 600, else remove it", info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("it is not one PKCS #8 key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it is not a PKCS #8 key")
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, errors.New("it is not a P-256 key")
	}
	return newKey(private, from, path)
}

func newKey(private *ecdsa.PrivateKey, from time.Time, path string) (*key, error) {
	public := jose.JSONWebKey{Key: private.Public()}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	k := &key{id: base64.RawURLEncoding.EncodeToString(sum), from: from.UTC(), file: path, private: private}
	k.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: k.id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	return k, err
}

// makeKey makes a key and its file. The file is whole and synced before its name
// exists: a key that has signed is never lost to a crash.
func makeKey(dir string, from time.Time) (*key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	from = from.UTC().Truncate(time.Second)
	path := filepath.Join(dir, filePrefix+from.Format(fileTime)+fileSuffix)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return readKey(path) // made for this time by an attempt that failed late
	}
	if err := writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, err
	}
	return newKey(private, from, path)
}

func writeFile(path string, text []byte) (err error) {
	temp := path + fileTemp
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// remove deletes the key's file; that it is gone already is no fault.
func (k *key) remove() error {
	if err := os.Remove(k.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
