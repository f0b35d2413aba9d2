package app

import (
	"context"
	"net/http"
	"net/url"

	"github.com/sallyport/sallyport/internal/fetch"
)

// introspect asks a provider's endpoint about a token, over connections that are
// kept open: a new token's request waits for the answer.
func (g *Gateway) introspect(ctx context.Context, address, authorization string, form url.Values) ([]byte, error) {
	a, err := g.asking.Send(ctx, fetch.Request{URL: address, Form: form, Authorization: authorization, Repeatable: true})
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return nil, &fetch.StatusError{URL: address, Status: a.Status}
	}
	return a.Body, nil
}
