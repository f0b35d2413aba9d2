package audit

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// followEvery is how often a follower looks for new events. It looks rather than
// being told, so that nobody pays for followers on the path of a request.
const followEvery = 50 * time.Millisecond

// Follow calls fn with every event numbered above from, oldest first, and goes on
// with new ones as they come; from of 0 begins with the next one to be written. A
// completion says what its decision said of user, route and revision, where that was
// seen. It ends with ctx's error, or with fn's.
func (l *Log) Follow(ctx context.Context, from uint64, fn func(model.Event) error) error {
	if from == 0 {
		from = l.Seq()
	}
	var at position
	said := decisions{}
	tell := func(e model.Event) error { said.repeat(&e); return fn(e) }
	t := time.NewTicker(followEvery)
	defer t.Stop()
	for {
		if l.Seq() > from {
			var err error
			if at, from, err = l.catchUp(ctx, at, from, tell); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.stop:
			return unavailable(errClosed)
		case <-t.C:
		}
	}
}

// catchUp reads on from at, and answers where it ended and with which event.
func (l *Log) catchUp(ctx context.Context, at position, after uint64, fn func(model.Event) error) (position, uint64, error) {
	spans, err := l.spans()
	if err != nil {
		return at, after, unavailable(err)
	}
	for i := range spans {
		sp := &spans[i]
		if i+1 < len(spans) && spans[i+1].first <= after+1 || sp.first < at.first {
			continue
		}
		if sp.first > at.first {
			at = position{first: sp.first}
		}
		f, err := sp.open()
		if err != nil {
			return at, after, err
		}
		err = forward(ctx, f, at.offset, sp.end, func(line []byte, next int64) error {
			at.offset = next
			e, ok := decode(line)
			if !ok || e.Seq <= after {
				return nil
			}
			after = e.Seq
			return fn(e)
		})
		f.Close()
		if err != nil {
			return at, after, err
		}
	}
	return at, after, nil
}

// decisions are what was said of requests that are not complete yet, by request id.
type decisions map[string]decision

type decision struct {
	user, route string
	revision    int64
}

// repeat remembers a decision, and has a completion say what it said.
func (d decisions) repeat(e *model.Event) {
	switch {
	case e.Type != model.EventAccess:
	case e.Part == PartDecision:
		if len(d) >= maxHeld { // requests that never ended
			clear(d)
		}
		d[e.RequestID] = decision{e.User, e.Route, e.Revision}
	case e.Part == PartCompletion:
		was, ok := d[e.RequestID]
		if !ok {
			return
		}
		delete(d, e.RequestID)
		e.User, e.Route, e.Revision = was.user, was.route, was.revision
		if e.Outcome == "allowed" && e.Code == "" {
			e.Step, e.Code = "complete", model.Allowed
		}
	}
}
