package listen

import (
	"fmt"
	"time"
)

// poll is how often the files are looked at. Their bytes are compared and not
// their times: a symlink that is swapped, a file replaced within one tick of the
// clock, and a copy with an old time are all seen.
const poll = time.Second

func (l *Listener) watch() {
	if l.conf.TLS == nil {
		return
	}
	t := time.NewTicker(poll)
	defer t.Stop()
	for {
		select {
		case <-l.life.Done():
			return
		case <-t.C:
			_ = l.Reload() // it has said what is wrong
		}
	}
}

// Reload takes up certificates, client CAs and revocation lists that have changed.
// What does not hold together is refused whole, said once, and the old stays.
func (l *Listener) Reload() error {
	if l.conf.TLS == nil {
		return nil
	}
	l.loading.Lock()
	defer l.loading.Unlock()
	old, now := l.live.Load(), l.opt.Now()
	_, print, _ := l.conf.TLS.files()
	if print == old.print && (old.renew.IsZero() || now.Before(old.renew)) {
		l.refused = [32]byte{}
		return nil
	}
	m, err := l.load()
	if err != nil {
		if l.refused != m.print {
			l.opt.Log.Error("the TLS files of a listener changed and were refused; the ones before stay in use",
				"listener", l.conf.Address, "cause", err)
		}
		l.refused = m.print
		return fmt.Errorf("listener %s: %w", l.conf.Address, err)
	}
	l.live.Store(m)
	l.refused = [32]byte{}
	l.opt.Log.Info("the TLS files of a listener were taken up anew", "listener", l.conf.Address,
		"serial", m.certs[0].Leaf.SerialNumber.String(), "notAfter", m.certs[0].Leaf.NotAfter)
	return nil
}
