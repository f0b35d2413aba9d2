package upstream

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// connections is how many targets are tried, one after the other, for a request
// that none of them has taken yet.
const connections = 3

// pool is one service under one definition.
type pool struct {
	service     model.Service
	fingerprint string
	source      atomic.Pointer[model.Service] // the definition it was last asked under
	fault       error                         // why it can send nothing
	view        atomic.Pointer[view]
	ready       chan struct{} // closed once every name was looked up

	mu      sync.Mutex // guards the two below
	targets []*target
	stop    context.CancelFunc // of resolving and probing; nil = stopped

	retired time.Time // zero while current; guarded by Pools.mu
}

// forward sends r to one of the endpoints; see Pools.Forward.
func (p *pool) forward(ctx context.Context, r *Request) (*Response, error) {
	if p.fault != nil {
		return nil, unreachable(p.fault)
	}
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	v, src := p.view.Load(), newSource(r)
	var tried []*endpoint
	resent := r.Sent
	var failure error
	for resends, unsent := max(p.service.Retries-r.Spent, 0), connections; ; {
		e := v.choose(p.service.Balance, r.Key, tried)
		if e == nil && failure == nil {
			return nil, unreachable(p.nobody(v))
		}
		if e == nil { // every one was tried: once more, if it may be sent again at all
			e = v.choose(p.service.Balance, r.Key, nil)
		}
		tried = append(tried, e)
		pr := &progress{resent: resent}
		res, again, err := p.try(ctx, e, r, src, pr)
		if err == nil {
			return res, nil
		}
		failure, resent = err, resent || pr.sent.Load()
		switch {
		case again == never || !src.whole() || ctx.Err() != nil:
			return nil, err
		case again == elsewhere:
			if unsent--; unsent == 0 || v.choose(p.service.Balance, r.Key, tried) == nil {
				return nil, err
			}
		case resends == 0:
			return nil, err
		default:
			resends--
		}
	}
}

// repeat says whether a failed attempt may be made again.
type repeat int

const (
	never     repeat = iota
	elsewhere        // nothing was sent: any request may go to another target
	again            // it may have been processed: idempotent methods, as often as retries says
)

// try makes one attempt.
func (p *pool) try(ctx context.Context, e *endpoint, r *Request, src *source, pr *progress) (*Response, repeat, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	body, start := src.attempt(), time.Now()
	e.acquire()
	w := startWatch(p.service.Timeouts.Response.D(), body, cancel)
	res, err := e.carrier.send(ctx, r, body, pr)
	w.stop()
	r.Trail.Target, r.Trail.Address = e.url, e.addr.String()
	r.Trail.Attempts++
	r.Trail.Wait += time.Since(start)
	if err == nil {
		e.answered()
		e.finish(res, cancel)
		return res, never, nil
	}
	f := fault(ctx, err, src, pr)
	if body != nil {
		_ = body.Close()
	}
	cancel(nil)
	e.release()
	var known *model.Error
	if src.fault() != nil || !errors.As(f, &known) || known.Code == model.RequestMalformed {
		return nil, never, f // the caller's doing: no word about the target
	}
	switch {
	case !pr.connected.Load():
		e.refused(err)
		return nil, elsewhere, f
	case pr.informed.Load() || known.Code == model.UpstreamTimeout:
		e.failed(err)
		return nil, never, f
	case !pr.sent.Load():
		return nil, elsewhere, f
	case idempotent(r.Method):
		e.failed(err)
		return nil, again, f
	}
	e.failed(err)
	return nil, never, f
}

// finish ties the end of the attempt to the end of the answer.
func (e *endpoint) finish(res *Response, cancel context.CancelCauseFunc) {
	end := sync.OnceFunc(func() {
		cancel(nil)
		e.release()
	})
	if res.Tunnel != nil {
		res.Tunnel = &tunnel{res.Tunnel, end}
		res.Body = res.Tunnel
		return
	}
	res.Body = &answer{res.Body, end}
}

type answer struct {
	io.ReadCloser
	end func()
}

func (a *answer) Close() error {
	err := a.ReadCloser.Close()
	a.end()
	return err
}

type tunnel struct {
	Tunnel
	end func()
}

func (t *tunnel) Close() error {
	err := t.Tunnel.Close()
	t.end()
	return err
}

// await waits for the first look at the names, as long as a connection may take.
func (p *pool) await(ctx context.Context) error {
	if v := p.view.Load(); v != nil && len(v.endpoints) > 0 {
		return nil
	}
	timer := time.NewTimer(p.service.Timeouts.Connect.D())
	defer timer.Stop()
	select {
	case <-p.ready:
	case <-timer.C:
		return late(errors.New("looking up the target's name took too long"))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (p *pool) nobody(v *view) error {
	if len(v.endpoints) > 0 {
		return errNobody
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.targets {
		if t.fault != nil {
			return t.fault
		}
	}
	return errNobody
}
