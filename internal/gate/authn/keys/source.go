package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// maxBytes bounds a key file; Fetch bounds what comes over the network.
const maxBytes = 1 << 20

// source is where keys come from.
type source interface {
	// load answers the keys; unchanged says that they are those of the last time.
	load(ctx context.Context, o *Options) (list []Key, unchanged bool, err error)
	interval(o *Options, err error) time.Duration
	coolDown(o *Options) time.Duration
	String() string
}

// sourceOf is what a provider's keys come from.
func sourceOf(p *model.IdentityProvider, o *Options) source {
	switch {
	case p.KeyFile != "":
		path := p.KeyFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(o.Dir, path)
		}
		return &file{path: path}
	case p.JWKSURL != "":
		return address{url: p.JWKSURL}
	}
	return discovery{issuer: p.Issuer}
}

// file is looked at often, and read again when it has changed.
type file struct {
	path string
	seen os.FileInfo
}

func (f *file) String() string { return "file " + f.path }

func (f *file) interval(o *Options, _ error) time.Duration { return o.FileInterval }
func (f *file) coolDown(o *Options) time.Duration          { return o.FileInterval / 2 }

// load is called by one goroutine alone.
func (f *file) load(context.Context, *Options) ([]Key, bool, error) {
	info, err := os.Stat(f.path) // through symbolic links, which deployments swap
	if err != nil {
		return nil, false, fmt.Errorf("reading the key file: %w", err)
	}
	if f.seen != nil && os.SameFile(f.seen, info) && f.seen.ModTime().Equal(info.ModTime()) && f.seen.Size() == info.Size() {
		return nil, true, nil
	}
	list, err := readFile(f.path)
	if err != nil {
		f.seen = nil
		return nil, false, err
	}
	f.seen = info
	return list, false, nil
}

func readFile(path string) ([]Key, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the key file: %w", err)
	case len(b) > maxBytes:
		return nil, errors.New("the key file is larger than 1 MiB")
	}
	list, err := parseFile(b)
	if err != nil {
		return nil, fmt.Errorf("the key file %s: %w", path, err)
	}
	return list, nil
}

// address is a JWKS URL.
type address struct{ url string }

func (a address) String() string { return a.url }

func (a address) interval(o *Options, err error) time.Duration { return remote(o, err) }
func (a address) coolDown(o *Options) time.Duration            { return o.CoolDown }

func remote(o *Options, err error) time.Duration {
	if err != nil {
		return o.Retry
	}
	return o.Refresh
}

func (a address) load(ctx context.Context, o *Options) ([]Key, bool, error) {
	u, err := url.Parse(a.url)
	if err != nil || !model.SecureURL(u) || u.User != nil {
		return nil, false, errors.New("the JWKS URL is not https (or http on loopback)")
	}
	b, err := o.Fetch(ctx, a.url)
	if err != nil {
		return nil, false, fmt.Errorf("fetching the key set: %w", err)
	}
	list, err := parseJWKS(b)
	if err != nil {
		return nil, false, fmt.Errorf("the key set at %s is %w", a.url, err)
	}
	return list, false, nil
}

// discovery finds the JWKS URL in the issuer's own document.
type discovery struct{ issuer string }

func (d discovery) String() string { return d.document() }

func (d discovery) interval(o *Options, err error) time.Duration { return remote(o, err) }
func (d discovery) coolDown(o *Options) time.Duration            { return o.CoolDown }

func (d discovery) document() string {
	return strings.TrimSuffix(d.issuer, "/") + "/.well-known/openid-configuration"
}

func (d discovery) load(ctx context.Context, o *Options) ([]Key, bool, error) {
	u, err := url.Parse(d.issuer)
	if err != nil || !model.SecureURL(u) || u.User != nil {
		return nil, false, errors.New("the issuer is not an https URL (or http on loopback)")
	}
	b, err := o.Fetch(ctx, d.document())
	if err != nil {
		return nil, false, fmt.Errorf("fetching the discovery document: %w", err)
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if json.Unmarshal(b, &doc) != nil {
		return nil, false, fmt.Errorf("the discovery document at %s is not JSON but %s", d.document(), strict.Instead(b))
	}
	// OpenID Connect Discovery 4.3: else one issuer could speak for another.
	if doc.Issuer != d.issuer {
		return nil, false, fmt.Errorf("the discovery document at %s is of the issuer %q, not %q", d.document(), doc.Issuer, d.issuer)
	}
	return address{url: doc.JWKSURI}.load(ctx, o)
}
