package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often a policy file is looked at, at most, and only while
// requests come.
const lookEvery = time.Second

// policySource is a policy, kept up to date with its file where it has one.
type policySource struct {
	path string
	home string // whom an entry without an issuer speaks of; "" = nobody
	now  func() time.Time
	log  *slog.Logger

	policy atomic.Pointer[Policy]
	next   atomic.Int64 // when to look at the file again, in Unix nanoseconds

	mu       sync.Mutex // held while the file is looked at
	seen     fs.FileInfo
	reported string // the fault that was last reported
}

func (v *Verifier) policies(policy *Policy, path string) error {
	switch {
	case policy != nil && path != "":
		return errors.New("both Policy and PolicyFile are set; set one")
	case policy == nil && path == "":
		return nil
	}
	v.policy = &policySource{path: path, home: v.home, now: v.now, log: v.log}
	if path == "" {
		return v.policy.take(policy)
	}
	if err := v.policy.read(); err != nil {
		return fmt.Errorf("PolicyFile: %w", err)
	}
	return nil
}

func (s *policySource) take(p *Policy) error {
	for i, e := range p.entries {
		if e.Issuer == "" && s.home == "" {
			return fmt.Errorf("policy entry %d has no issuer, and several are listed; write which one vouches for %q", i+1, e.Identity)
		}
	}
	s.policy.Store(p)
	return nil
}

// current is the policy, read again if its file has changed. While one request
// reads, the others go on with what there is.
func (s *policySource) current() *Policy {
	if s.path != "" {
		if now := s.now().UnixNano(); now >= s.next.Load() && s.mu.TryLock() {
			s.look(now)
			s.mu.Unlock()
		}
	}
	return s.policy.Load()
}

func (s *policySource) look(now int64) {
	s.next.Store(now + int64(lookEvery))
	info, err := os.Stat(s.path)
	if err == nil && same(info, s.seen) {
		return
	}
	if err == nil {
		err = s.read()
	}
	if err != nil && err.Error() != s.reported {
		s.reported = err.Error()
		s.log.Error("verify: the policy cannot be read; the last good one holds", "file", s.path, "error", err)
	}
}

// same says whether a and b are the same contents of the same file; a symbolic
// link that leads elsewhere now (as Kubernetes mounts do) is another file.
func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read takes the file's size and time before its contents: what changes in
// between is read once more.
func (s *policySource) read() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	p, err := ParsePolicy(text)
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if err := s.take(p); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.seen, s.reported = info, ""
	return nil
}
