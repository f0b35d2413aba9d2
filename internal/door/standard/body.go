package standard

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

var errEnded = errors.New("the exchange is over")

var tooLarge = &model.Error{Code: model.BodyTooLarge, Message: "The request's body is larger than this route takes."}

// leftover is how long a client may take to send what of its body nobody wants.
const leftover = 5 * time.Second

var past = time.Unix(1, 0)

// body is a request's body with its limits. It is read by the way out, on another
// goroutine than the exchange's.
type body struct {
	from  io.Reader
	rc    *http.ResponseController
	limit int64 // 0 = none
	stall guard // without a byte

	count   atomic.Int64
	failure atomic.Pointer[model.Error]
	over    atomic.Bool // read to its end
	mu      sync.Mutex  // guards the rest
	reading bool
	ended   bool
}

func newBody(from io.Reader, rc *http.ResponseController, limit int64, stall time.Duration) *body {
	b := &body{from: from, rc: rc, limit: limit}
	b.stall.limit, b.stall.act = stall, func() { _ = rc.SetReadDeadline(past) }
	return b
}

// Read counts, and ends what is too large with an error, so that the target sees
// an abort and not a shorter body.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.ended {
		b.mu.Unlock()
		return 0, errEnded
	}
	b.reading = true
	b.mu.Unlock()
	b.stall.begin()
	n, err := b.from.Read(p)
	b.stall.end()
	total := b.count.Add(int64(n))
	if err == io.EOF {
		b.over.Store(true)
	}
	b.mu.Lock()
	b.reading = false
	b.mu.Unlock()
	switch {
	case b.limit > 0 && total > b.limit:
		b.failure.Store(tooLarge)
		return 0, tooLarge
	case err != nil && err != io.EOF:
		e := &model.Error{Code: model.RequestMalformed, Message: "The request's body did not arrive whole.", Err: err}
		b.failure.Store(e)
		return n, e
	}
	return n, err
}

// failed is what was wrong with the body; nil = nothing.
func (b *body) failed() *model.Error {
	if b == nil {
		return nil
	}
	return b.failure.Load()
}

// end lets no more be read. A read that waits for the client is woken: the server
// would wait for it before it could end the exchange. What was cut waits for nothing.
func (b *body) end(cut bool) {
	if b == nil {
		return
	}
	b.stall.stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	switch {
	case b.over.Load():
	case cut || b.reading || b.failed() != nil && b.failed() != tooLarge:
		_ = b.rc.SetReadDeadline(past)
	default: // the server reads what is left, to keep the connection, or for the client to hear a refusal; not for long
		_ = b.rc.SetReadDeadline(time.Now().Add(leftover))
	}
}

func (b *body) stalled() bool {
	e := b.failed()
	return e != nil && errors.Is(e.Err, os.ErrDeadlineExceeded)
}

func (b *body) received() int64 {
	if b == nil {
		return 0
	}
	return b.count.Load()
}
