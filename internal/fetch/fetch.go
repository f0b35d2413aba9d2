package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Options bound what is fetched. Zero values take the defaults.
type Options struct {
	MaxBytes int64         // of a document; 1 MiB
	Timeout  time.Duration // of a whole fetch; 5 s
	TLS      *tls.Config   // nil = the system's roots
	Accept   string        // the media types that are asked for; JSON and key sets
	Idle     int           // connections to a host that are kept open between requests; none
}

// Client fetches documents. It is safe for concurrent use.
type Client struct {
	http    http.Client // follows redirects within a host
	still   http.Client // follows none
	accept  string
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
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        o.TLS,
		DisableKeepAlives:      o.Idle <= 0,
		MaxIdleConnsPerHost:    o.Idle,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // a small body must not unpack into a large one
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	if o.Accept == "" {
		o.Accept = "application/json, application/jwk-set+json"
	}
	return &Client{accept: o.Accept, max: o.MaxBytes, timeout: o.Timeout,
		http: http.Client{Transport: transport, CheckRedirect: checkRedirect},
		still: http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}}
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
	a, err := c.Document(ctx, address)
	if err != nil {
		return nil, err
	}
	return a.Body, nil
}

// Document is Get for whoever also wants to know the answer's fields.
func (c *Client) Document(ctx context.Context, address string) (*Answer, error) {
	a, err := c.do(ctx, &c.http, Request{URL: address, Accept: c.accept})
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return nil, &StatusError{URL: address, Status: a.Status}
	}
	return a, nil
}

// Close ends the connections that are kept open and not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }
