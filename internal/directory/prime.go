package directory

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// primed are users known from before the start, for a node that starts without
// its store. They are old news: somebody may have been deactivated since they
// were written down. So they answer only while the source fails, give way to
// whatever it says once it answers, and what they answered is stale from then on.
type primed struct {
	count   atomic.Int64
	failing atomic.Bool
	failure atomic.Int64 // when, in Unix nanoseconds
	mu      sync.Mutex
	users   map[string]*spare
	keys    map[Key]*spare
}

type spare struct {
	user      model.User
	principal *Principal // handed out during this outage
}

// Recent lists up to n users for Prime, the ones in use first. Their slices and
// maps are shared and must not be changed.
func (d *Directory) Recent(n int) []model.User {
	used, rest := make([]model.User, 0, min(n, d.o.Size)), []model.User(nil)
	for i := range d.users {
		s := &d.users[i]
		s.mu.RLock()
		for _, e := range s.ring {
			switch {
			case e.principal.used.Load() && len(used) < n:
				used = append(used, e.principal.User)
			case len(rest) < n:
				rest = append(rest, e.principal.User)
			}
		}
		s.mu.RUnlock()
	}
	used = append(used, rest[:min(len(rest), n-len(used))]...)
	d.primed.mu.Lock()
	defer d.primed.mu.Unlock()
	for _, s := range d.primed.users { // of an outage that has not ended
		if len(used) < n {
			used = append(used, s.user)
		}
	}
	return used
}

// Prime gives the directory users to fall back on while the source fails. Whoever
// saved them answers for their age.
func (d *Directory) Prime(users []model.User) {
	p := &d.primed
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users, p.keys = make(map[string]*spare, len(users)), make(map[Key]*spare, 2*len(users))
	for i := range users {
		s := &spare{user: users[i]}
		p.users[s.user.ID] = s
		for _, k := range keysOf(&s.user) {
			p.keys[k] = s
		}
	}
	p.count.Store(int64(len(p.users)))
}

// keysOf lists every key that leads to u.
func keysOf(u *model.User) []Key {
	keys := []Key{Key{By: ByUsername, A: u.Username}.Normal(), {By: byID, A: u.ID}}
	for i := range u.Credentials {
		if k, ok := CredentialKey(&u.Credentials[i]); ok {
			keys = append(keys, k)
		}
	}
	return keys
}

// failed notes that the source did not answer.
func (p *primed) failed(now time.Time) {
	p.failure.Store(now.UnixNano())
	p.failing.Store(true)
}

// probes is true for one caller in each interval while the source fails: it
// shall ask whether the source is back.
func (p *primed) probes(now time.Time, every time.Duration) bool {
	last := p.failure.Load()
	return now.UnixNano()-last >= int64(every) && p.failure.CompareAndSwap(last, now.UnixNano())
}

// find answers from the primed users.
func (p *primed) find(key Key) (Found, bool) {
	if p.count.Load() == 0 {
		return Found{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.keys[key]
	if s == nil {
		return Found{}, false
	}
	if s.principal == nil {
		s.principal = NewPrincipal(s.user)
	}
	if !p.failing.Load() { // the outage ended meanwhile, and nobody will come to mark it
		s.principal.Expire()
	}
	pr := s.principal
	return Found{Principal: pr, Credential: CredentialFor(&pr.User, key)}, true
}

// answered takes what the source said of key in place of what was primed, and at
// the end of an outage marks stale what was handed out during it.
func (p *primed) answered(key Key, u *model.User) {
	recovered := p.failing.Load() && p.failing.CompareAndSwap(true, false)
	if p.count.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if recovered {
		for _, s := range p.users {
			s.expire()
		}
	}
	p.drop(p.keys[key])
	if u != nil {
		p.drop(p.users[u.ID])
	}
}

func (s *spare) expire() {
	if s.principal != nil {
		s.principal.Expire()
		s.principal = nil
	}
}

func (p *primed) drop(s *spare) {
	if s == nil {
		return
	}
	s.expire()
	for _, k := range keysOf(&s.user) {
		if p.keys[k] == s {
			delete(p.keys, k)
		}
	}
	if p.users[s.user.ID] == s {
		delete(p.users, s.user.ID)
	}
	p.count.Store(int64(len(p.users)))
}

func (p *primed) forget(ids []string) {
	if p.count.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.drop(p.users[id])
	}
}

func (p *primed) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.users {
		s.expire()
	}
	p.users, p.keys = nil, nil
	p.count.Store(0)
}
