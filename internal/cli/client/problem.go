package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/internal/model"
)

// Problem is an answer that refuses.
type Problem struct {
	Status    int           `json:"status"`
	Code      model.Code    `json:"code"`
	Title     string        `json:"title"`
	Detail    string        `json:"detail"`
	RequestID string        `json:"requestId"`
	Faults    []model.Fault `json:"errors"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		text = "The gateway refused."
	}
	return fmt.Sprintf("%s (%d %s, request %s)", text, p.Status, p.Code, p.RequestID)
}

// Remedy is what the caller can do; "" where the text says it all.
func (p *Problem) Remedy() string {
	switch p.Code {
	case model.CredentialMissing, model.CredentialInvalid, model.CredentialExpired:
		return "Log in by SALLYPORT_TOKEN, or by --user NAME with SALLYPORT_PASSWORD or the prompt."
	case model.PermissionDenied:
		return "This administrator's roles do not reach that far; ask one with the role admin."
	case model.NotFound:
		return "Check the name; the list verb shows what there is."
	case model.PreconditionFailed:
		return "Somebody else is changing it at the same time; repeat the command."
	case model.LoginThrottled, model.RateLimited:
		return "Wait a little and try again."
	case model.AuditUnavailable:
		return "The gateway cannot write its audit log; see its disk and its own log."
	}
	return ""
}

// problem reads an answer that refuses. It may not be the gateway's at all.
func (c *Client) problem(answer *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	p := &Problem{Status: answer.StatusCode}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if kind == "application/problem+json" && json.Unmarshal(body, p) == nil && p.Code != "" {
		return p
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		return &advice{fmt.Errorf("%s redirects to %s instead of answering", c.base, answer.Header.Get("Location")),
			"Name a listener that serves admin with --server."}
	}
	return &advice{fmt.Errorf("%s answered %s, which is not an answer of the admin API", c.base, answer.Status),
		"Name a listener that serves admin with --server."}
}

// advice is an error with what to do about it.
type advice struct {
	error
	remedy string
}

func (a *advice) Unwrap() error  { return a.error }
func (a *advice) Remedy() string { return a.remedy }

// explain says in a person's words why nobody answered.
func (c *Client) explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	at := c.base.String()
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &advice{fmt.Errorf("%s did not answer in time", at), "See whether the gateway is busy or hangs."}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &advice{fmt.Errorf("nothing listens at %s", at), "Start the gateway, or name its admin listener with --server or SALLYPORT_SERVER."}
	case errors.As(err, &unknown):
		return &advice{fmt.Errorf("the certificate of %s is signed by an unknown authority", at),
			"Name its authority with --ca FILE (the demo prints where it lies), or use --insecure for trials."}
	case errors.As(err, &host):
		return &advice{fmt.Errorf("the certificate of %s is for other names: %w", at, host), "Use one of its names in --server."}
	case errors.As(err, &invalid):
		return &advice{fmt.Errorf("the certificate of %s is not valid: %w", at, invalid), "Renew it; --insecure believes it all the same."}
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"): // net/http has no type for it
		return &advice{fmt.Errorf("%s does not speak TLS", at), "Use http:// in --server if the listener is plain and on loopback."}
	case errors.As(err, &dns):
		return &advice{fmt.Errorf("there is no host named %s", dns.Name), "Check --server or SALLYPORT_SERVER."}
	}
	return &advice{fmt.Errorf("speaking to %s: %w", at, err), ""}
}
