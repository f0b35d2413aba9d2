package door

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Handshake tells the facts of a connection's TLS handshake, and whether a Host
// may be asked for over it; listen provides it.
type Handshake interface {
	Facts(state *tls.ConnectionState) *model.TLSFacts
	Misdirected(serverName, host string) bool
}

// Deps are what every door needs, whatever its way out. All are required but Local,
// TLS, Log and Panicked.
type Deps struct {
	Gate    Gate
	Streams *Streams
	// Local gives the handler of the gateway's own path on a host, nil for every
	// other path; host is as received.
	Local func(host, path string) http.Handler
	TLS   Handshake
	Now   func() time.Time
	Log   *slog.Logger
	// Panicked counts a request that met a fault in the gateway's code.
	Panicked func()
}

// Defaults fills in what was left out.
func (d *Deps) Defaults() {
	if d.Local == nil {
		d.Local = func(string, string) http.Handler { return nil }
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Panicked == nil {
		d.Panicked = func() {}
	}
}

// Dates gives the values of Date, each formatted once a second. The zero value is
// ready, and safe for concurrent use.
type Dates struct{ last atomic.Pointer[stamp] }

type stamp struct {
	second int64
	text   string
}

// At is the Date of a moment in unix nanoseconds.
func (d *Dates) At(nanos int64) string {
	now := nanos / int64(time.Second)
	s := d.last.Load()
	if s == nil || s.second != now {
		s = &stamp{now, time.Unix(now, 0).UTC().Format(http.TimeFormat)}
		d.last.Store(s)
	}
	return s.text
}
