package upstream

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/model"
)

// progress is how far a carrier got with an attempt; it decides what may be tried
// again. Fields are written from the carrier's goroutines.
type progress struct {
	resent    bool        // the request was sent before: no kept connection carries it again
	begun     atomic.Bool // a connection was looked for
	connected atomic.Bool // a connection was had
	sent      atomic.Bool // bytes of the request may have reached the target
	informed  atomic.Bool // a byte of an answer came, or an interim one was passed on
}

var (
	errSlow     = errors.New("no answer within timeouts.response")
	errFlood    = errors.New("too many interim answers")
	errNobody   = errors.New("no target takes requests: every weight is 0")
	errUpgraded = errors.New("the target switched protocols unasked, or to another one than was asked for")
)

// unfit is said of a request that cannot be written, whatever the target.
func unfit(cause error) *model.Error {
	return &model.Error{Code: model.RequestMalformed, Message: "The request cannot be sent on as it is.", Err: cause}
}

func unreachable(cause error) *model.Error {
	return &model.Error{Code: model.UpstreamUnreachable, Message: "The service behind this route cannot be reached at the moment.", Err: cause}
}

func invalid(cause error) *model.Error {
	return &model.Error{Code: model.UpstreamInvalid, Message: "The service behind this route gave no valid answer.", Err: cause}
}

func late(cause error) *model.Error {
	return &model.Error{Code: model.UpstreamTimeout, Message: "The service behind this route did not answer in time.", Err: cause}
}

// fault says why an attempt failed, in this order: the target was too slow, the
// caller went away or was cut, its body failed, its request cannot be written, the
// target could not be reached, answered garbage or nothing.
func fault(ctx context.Context, err error, body *source, p *progress) error {
	if errors.Is(context.Cause(ctx), errSlow) {
		return late(errSlow)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if berr := body.fault(); berr != nil {
		return berr
	}
	var n net.Error
	switch {
	case !p.begun.Load() && !p.connected.Load():
		return unfit(err)
	case errors.As(err, &n) && n.Timeout():
		return late(err)
	case !p.connected.Load():
		return unreachable(err)
	}
	return invalid(err)
}
