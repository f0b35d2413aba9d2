package ldap

import (
	"context"
	"errors"
	"sync"
	"time"
)

var (
	errPause = errors.New("it did not answer several times in a row and is left alone for a moment")
	errFull  = errors.New("too many logins are under way there")
)

// directory is one server and how it fares.
type directory struct {
	o      *Options
	target *target
	slots  chan struct{} // one for each login under way

	searching pool // bound as bindDN
	binding   pool // used for proving passwords and nothing else: nobody relies on as whom they are bound

	mu       sync.Mutex
	timeouts int       // in a row
	until    time.Time // it is left alone
	asked    uint64
	last     time.Time // it was asked
	good     time.Time // it last answered
	fault    error     // of the last question; nil = it was answered
	chains   *bool     // it follows groups of groups by itself; nil = not known yet
}

// enter waits for one of the places. A directory that swallows questions is left
// alone for a moment after some; one that refuses connections is asked each time,
// which costs nothing, so that it is used again at once when it is back.
func (d *directory) enter(ctx context.Context) error {
	d.mu.Lock()
	now := d.o.Now()
	if d.timeouts >= d.o.Failures {
		if now.Before(d.until) {
			d.mu.Unlock()
			return errPause
		}
		d.until = now.Add(d.o.Pause) // one tries for all
	}
	d.asked++
	d.last = now
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-ctx.Done(): // full: not the directory's fault, or not proven to be
		return errFull
	}
}

func (d *directory) leave() { <-d.slots }

// fares notes how a question ended.
func (d *directory) fares(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Now()
	d.fault = err
	switch {
	case err == nil:
		d.timeouts, d.good = 0, now
	case isTimeout(err):
		d.timeouts++
		d.until = now.Add(d.o.Pause)
		d.searching.drain() // something on the way may have forgotten them
		d.binding.drain()
	default:
		d.timeouts = 0
	}
}

func (d *directory) close() {
	d.searching.close()
	d.binding.close()
}

// kind says what a connection is for.
type kind bool

const (
	forSearch kind = true
	forBind   kind = false
)

// with lends a connection to ask. One that had been kept and turns out to be dead
// is replaced, once: the question was not answered, so that it may be repeated.
func (d *directory) with(ctx context.Context, k kind, ask func(*conn) error) error {
	p := &d.binding
	if k == forSearch {
		p = &d.searching
	}
	for {
		c := p.get()
		kept := c != nil
		if !kept {
			var err error
			if c, err = d.open(ctx, k); err != nil {
				return err
			}
		}
		c.begin(ctx, d.o.Timeout)
		err := ask(c)
		if err == nil || answered(err) {
			c.end()
			p.put(c)
			return err
		}
		err = c.cause(err)
		c.close()
		if !kept || errors.Is(err, errDone) {
			return err
		}
		if isTimeout(err) || ctx.Err() != nil {
			return err
		}
		p.drain() // the others are as old, and as dead
	}
}

// open makes a connection, bound as bindDN if it is for searching.
func (d *directory) open(ctx context.Context, k kind) (*conn, error) {
	c, err := d.target.dial(ctx, d.o.Connect)
	if err != nil || k == forBind || d.target.bindDN == "" {
		return c, err
	}
	c.begin(ctx, d.o.Timeout)
	if err := c.Bind(d.target.bindDN, d.target.bindPassword); err != nil {
		err = trouble(stageBind, d.target.address, c.cause(err))
		c.close()
		return nil, err
	}
	c.end()
	return c, nil
}
