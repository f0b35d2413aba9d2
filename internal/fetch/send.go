package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Request is a question to another party's endpoint: a GET, or where Form is not
// nil a POST of that form.
type Request struct {
	URL           string
	Form          url.Values
	Authorization string // the field's value; "" = none
	Accept        string // media types; "" = application/json
	// Repeatable says that the question may be sent twice, as happens where a
	// connection that was kept open has ended meanwhile.
	Repeatable bool
}

// Answer is what came back, whatever its status. The body is whole and bounded.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// StatusError says that a document was answered with another status than 200.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// Send asks an endpoint, once. It follows no redirect, for a secret or a code
// would be sent along: a status of 3xx comes back as it is. Only https URLs are
// asked, and http ones on loopback. An error means that there is no whole answer.
func (c *Client) Send(ctx context.Context, r Request) (*Answer, error) {
	return c.do(ctx, &c.still, r)
}

func (c *Client) do(ctx context.Context, by *http.Client, q Request) (*Answer, error) {
	u, err := url.Parse(q.URL)
	if err != nil || !model.SecureURL(u) || u.User != nil {
		return nil, errors.New("the URL is not https (or http on loopback)")
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := q.make(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	answer, err := by.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.ContentLength > c.max {
		return nil, fmt.Errorf("%s is larger than %d bytes", q.URL, c.max)
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, c.max+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", q.URL, err)
	}
	if int64(len(b)) > c.max {
		return nil, fmt.Errorf("%s is larger than %d bytes", q.URL, c.max)
	}
	return &Answer{Status: answer.StatusCode, Header: answer.Header, Body: b}, nil
}

func (q *Request) make(ctx context.Context) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if q.Form != nil {
		method, body = http.MethodPost, strings.NewReader(q.Form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, q.URL, body)
	if err != nil {
		return nil, err
	}
	if q.Form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if q.Repeatable {
		r.Header["Idempotency-Key"] = []string{} // tells net/http, and is not sent
	}
	if q.Authorization != "" {
		r.Header.Set("Authorization", q.Authorization)
	}
	if q.Accept == "" {
		q.Accept = "application/json"
	}
	r.Header.Set("Accept", q.Accept)
	r.Header.Set("User-Agent", "sallyport")
	return r, nil
}
