package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Options bound what is fetched. Zero values take the defaults.
type Options struct {
	MaxBytes int64         // of a document; 1 MiB
	Timeout  time.Duration // of a whole fetch; 5 s
	TLS      *tls.Config   // nil = the system's roots
}

// Client fetches documents. It is safe for concurrent use and keeps no
// connections open.
type Client struct {
	http    http.Client
	max     int64
	timeout time.Duration
}

const maxRedirects = 3

// New makes a client.
func New(o Options) *Client {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	return &Client{max: o.MaxBytes, timeout: o.Timeout, http: http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        o.TLS,
			DisableKeepAlives:      true,
			DisableCompression:     true, // a small body must not unpack into a large one
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
	}}
}

// checkRedirect follows an issuer within its own host alone: elsewhere, or without
// TLS, another could answer in its place.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return errors.New("too many redirects")
	case r.URL.Host != first.Host || r.URL.Scheme != first.Scheme || r.URL.User != nil:
		return fmt.Errorf("it redirects to another place (%s)", r.URL.Host)
	}
	return nil
}

// Get answers the body of a document that was answered with 200. Only https URLs
// are fetched, and http ones on loopback.
func (c *Client) Get(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || !model.SecureURL(u) || u.User != nil {
		return nil, errors.New("the URL is not https (or http on loopback)")
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Accept", "application/json, application/jwk-set+json")
	r.Header.Set("User-Agent", "sallyport")
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, answer.Status)
	}
	if answer.ContentLength > c.max {
		return nil, fmt.Errorf("%s is larger than %d bytes", address, c.max)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, c.max+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	if int64(len(b)) > c.max {
		return nil, fmt.Errorf("%s is larger than %d bytes", address, c.max)
	}
	return b, nil
}
