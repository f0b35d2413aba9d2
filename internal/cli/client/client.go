package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Options say which gateway is spoken to, and as whom.
type Options struct {
	Server   string // base URL of an admin listener
	Token    string // of an administrator; else
	User     string // name and
	Password string
	CA       string // PEM file of the authorities that sign the gateway's certificate
	Insecure bool   // believe any certificate, and send secrets over plain HTTP
	Agent    string // User-Agent
}

// Client sends requests to one gateway.
type Client struct {
	base *url.URL
	o    Options
	http *http.Client
}

// New makes a client. It sends nothing.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(o.Server, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("%q is not the URL of a gateway; write https://HOST:PORT of a listener that serves admin", o.Server)
	}
	if !o.Insecure && !model.SecureURL(base) {
		return nil, fmt.Errorf("%s is plain HTTP, and the login could be read on the way; use https, or --insecure if you must", o.Server)
	}
	config := &tls.Config{InsecureSkipVerify: o.Insecure, MinVersion: tls.VersionTLS12} // --insecure is the caller's word
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities of --ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", o.CA)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	return &Client{base: base, o: o, http: &http.Client{
		Transport: transport,
		// A redirect could carry the login elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Call is one request.
type Call struct {
	Method string
	Path   string // /v2/…, segments escaped
	Query  url.Values
	Body   any // nil = none; a json.RawMessage is sent as it is
	Reason string
	// Patience bounds the whole call; 0 = 60 s, less than 0 = none.
	Patience time.Duration
}

// Path joins segments of a path, each escaped.
func Path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// Do sends the call and reads the answer, JSON, into out (nil = it is not
// wanted). An answer that refuses is a *Problem.
func (c *Client) Do(ctx context.Context, call Call, out any) error {
	if call.Patience == 0 {
		call.Patience = time.Minute
	}
	if call.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Patience)
		defer cancel()
	}
	body, err := c.Open(ctx, call)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
	} else if err = json.NewDecoder(body).Decode(out); errors.Is(err, io.EOF) {
		err = nil // 204
	}
	if err != nil {
		return fmt.Errorf("reading the gateway's answer: %w", c.explain(err))
	}
	return nil
}

// Open sends the call and hands over the answer's body, which may have no end.
func (c *Client) Open(ctx context.Context, call Call) (io.ReadCloser, error) {
	request, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.explain(err)
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	return nil, c.problem(answer)
}

func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	var body io.Reader
	if call.Body != nil {
		b, err := json.Marshal(call.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	target := c.base.String() + call.Path
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, call.Method, target, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json, application/problem+json")
	r.Header.Set("User-Agent", c.o.Agent)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if call.Reason != "" {
		r.Header.Set("X-Reason", call.Reason)
	}
	switch {
	case c.o.Token != "":
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	case c.o.User != "":
		r.SetBasicAuth(c.o.User, c.o.Password)
	}
	return r, nil
}
