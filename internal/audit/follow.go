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
// with new ones as they come; from of 0 begins with the next one to be written.
// It ends with ctx's error, or with fn's.
func (l *Log) Follow(ctx context.Context, from uint64, fn func(model.Event) error) error {
	if from == 0 {
		from = l.Seq()
	}
	var at position
	t := time.NewTicker(followEvery)
	defer t.Stop()
	for {
		if l.Seq() > from {
			var err error
			if at, from, err = l.catchUp(ctx, at, from, fn); err != nil {
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
