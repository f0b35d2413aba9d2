package saml

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// source is where one provider's metadata comes from, and what it last said. What
// it said goes on serving while it is down or sends rubbish.
type source struct {
	url, file string

	mu      sync.Mutex
	idp     *identityProvider
	seen    map[string]sighting // of certificates, by fingerprint
	info    os.FileInfo         // of the file that idp was read from
	busy    chan struct{}       // closed when the reading that is under way ends
	last    time.Time           // when the last reading ended
	next    time.Time           // when it is to be read again
	lastErr error
	skew    time.Duration // the provider's clock less ours, at its last answer
}

type sighting struct{ first, last time.Time }

// source is the provider's; a new one where the provider's metadata is elsewhere now.
func (s *ServiceProvider) source(p *model.IdentityProvider) *source {
	src := &source{url: p.MetadataURL, seen: make(map[string]sighting)}
	if p.MetadataFile != "" {
		src.file = p.MetadataFile
		if !filepath.IsAbs(src.file) {
			src.file = filepath.Join(s.o.Base, src.file)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.sources[p.Name]; have != nil && have.url == src.url && have.file == src.file {
		return have
	}
	s.sources[p.Name] = src
	return src
}

// Retain forgets all providers but these: to be called when a configuration is
// published.
func (s *ServiceProvider) Retain(providers []model.IdentityProvider) {
	keep := make(map[string]bool)
	for i := range providers {
		keep[providers[i].Name] = providers[i].Type == model.ProviderSAML
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.sources {
		if !keep[name] {
			delete(s.sources, name)
		}
	}
}

// current is what the provider's metadata says. It waits for it where nothing is
// known yet; where something is, it is read again meanwhile when its time has come.
func (s *ServiceProvider) current(ctx context.Context, p *model.IdentityProvider) (*source, *identityProvider, error) {
	src, now := s.source(p), s.o.Now()
	src.mu.Lock()
	known, due := src.idp != nil, !now.Before(src.next)
	src.mu.Unlock()
	var err error
	switch {
	case !known:
		err = s.renew(ctx, src, s.o.CoolDown)
	case src.file != "":
		_ = s.renew(ctx, src, 0) // looks whether it changed; what was known serves if it cannot be read
	case due:
		s.start(src, 0)
	}
	idp, unusable := src.usableIDP(now)
	if unusable == nil {
		return src, idp, nil
	}
	if err == nil {
		err = unusable
	}
	return src, nil, unavailable(err)
}

// renew reads the metadata unless that was done within coolDown, and waits for it
// as long as a login can wait.
func (s *ServiceProvider) renew(ctx context.Context, src *source, coolDown time.Duration) error {
	wait := s.start(src, coolDown)
	if wait != nil {
		timer := time.NewTimer(s.o.Patience)
		defer timer.Stop()
		select {
		case <-wait:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the metadata: %w", ctx.Err())
		case <-timer.C:
			return errors.New("the metadata has not come in time")
		}
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	return src.lastErr
}

// start begins a reading, or joins the one that is under way; nil = not now. It
// belongs to no login, so that one that gives up does not end it for the others.
func (s *ServiceProvider) start(src *source, coolDown time.Duration) <-chan struct{} {
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.busy != nil {
		return src.busy
	}
	if !src.last.IsZero() && s.o.Now().Sub(src.last) < coolDown {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return nil
	}
	done := make(chan struct{})
	src.busy = done
	s.running.Go(func() {
		idp, info, err := s.read(src)
		s.keep(src, idp, info, err)
		close(done)
	})
	return done
}

func (s *ServiceProvider) read(src *source) (*identityProvider, os.FileInfo, error) {
	if src.file != "" {
		return src.readFile()
	}
	b, err := s.o.Fetch(s.life, src.url)
	if err != nil {
		return nil, nil, fmt.Errorf("fetching the metadata: %w", err)
	}
	idp, err := parseMetadata(b)
	if err != nil {
		return nil, nil, fmt.Errorf("the metadata at %s %w", src.url, err)
	}
	return idp, nil, nil
}

// readFile answers no provider where the file is the one that is known.
func (src *source) readFile() (*identityProvider, os.FileInfo, error) {
	info, err := os.Stat(src.file) // through symbolic links, which deployments swap
	if err != nil {
		return nil, nil, fmt.Errorf("reading the metadata: %w", err)
	}
	src.mu.Lock()
	had := src.info
	src.mu.Unlock()
	if had != nil && os.SameFile(had, info) && had.ModTime().Equal(info.ModTime()) && had.Size() == info.Size() {
		return nil, had, nil
	}
	in, err := os.Open(src.file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the metadata: %w", err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxMetadata+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the metadata: %w", err)
	}
	idp, err := parseMetadata(b)
	if err != nil {
		return nil, nil, fmt.Errorf("the metadata file %s %w", src.file, err)
	}
	return idp, info, nil
}

// keep takes what a reading brought.
func (s *ServiceProvider) keep(src *source, idp *identityProvider, info os.FileInfo, err error) {
	now := s.o.Now()
	src.mu.Lock()
	defer src.mu.Unlock()
	src.busy, src.last, src.lastErr, src.info = nil, now, err, info
	if err != nil {
		src.next = now.Add(3 * s.o.CoolDown)
		return
	}
	if idp == nil {
		idp = src.idp
	}
	src.idp = idp
	for _, c := range idp.certs {
		f := fingerprint(c)
		at := src.seen[f]
		if at.first.IsZero() {
			at.first = now
		}
		at.last = now
		src.seen[f] = at
	}
	again := s.o.Refresh
	if idp.cache > 0 && idp.cache < again {
		again = max(idp.cache, time.Minute)
	}
	src.next = now.Add(again)
}

// usableIDP is the provider that is known, if its metadata still holds.
func (src *source) usableIDP(now time.Time) (*identityProvider, error) {
	src.mu.Lock()
	defer src.mu.Unlock()
	switch {
	case src.idp == nil && src.lastErr != nil:
		return nil, src.lastErr
	case src.idp == nil:
		return nil, errors.New("the metadata has not been read yet")
	case !src.idp.validUntil.IsZero() && now.After(src.idp.validUntil):
		return nil, fmt.Errorf("the metadata was valid until %s", src.idp.validUntil.UTC().Format(time.RFC3339))
	case len(src.idp.live(now)) == 0:
		return nil, errors.New("all certificates of the metadata have expired, or do not hold yet")
	}
	return src.idp, nil
}

// met remembers what an answer told of the provider's clock.
func (src *source) met(skew time.Duration) {
	src.mu.Lock()
	defer src.mu.Unlock()
	src.skew = skew
}

func (src *source) String() string {
	if src.file != "" {
		return "file " + src.file
	}
	return src.url
}
