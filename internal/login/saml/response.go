package saml

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
)

// skew is how far clocks may be apart.
const skew = 30 * time.Second

var errNotYet = errors.New("not written yet")

// Begin sends the browser to the provider with a signed request.
func (s *ServiceProvider) Begin(ctx context.Context, a *flow.Attempt) (*flow.Departure, error) {
	return nil, unavailable(errNotYet)
}

// Finish proves the response that the browser posted.
func (s *ServiceProvider) Finish(ctx context.Context, a *flow.Attempt, back *flow.Return) (*flow.Identity, error) {
	return nil, refused(errNotYet)
}

// End sends the browser to the provider with a signed logout request.
func (s *ServiceProvider) End(ctx context.Context, a *flow.Attempt, keep []byte, back *url.URL) (*flow.Departure, error) {
	return nil, nil
}

// Logout proves a provider's logout request, or its answer to ours.
func (s *ServiceProvider) Logout(ctx context.Context, a *flow.Attempt, back *flow.Return) (*flow.Ended, *flow.Departure, error) {
	return nil, nil, malformed(errNotYet)
}

// announced are the methods of encryption in the order in which providers should choose.
var announced = []string{
	"http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2009/xmlenc11#aes128-gcm",
	"http://www.w3.org/2001/04/xmlenc#aes256-cbc", "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
	"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", "http://www.w3.org/2009/xmlenc11#rsa-oaep",
}
