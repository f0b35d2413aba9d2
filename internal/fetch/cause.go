package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
)

// Cause is the kind of trouble behind an error of this package: where to look.
type Cause string

// The causes.
const (
	CauseNone     Cause = ""
	CauseDNS      Cause = "dns"      // the host's name is not known, or no resolver answers
	CauseTLS      Cause = "tls"      // the certificate or the handshake
	CauseConnect  Cause = "connect"  // nobody listens, or the way there is closed
	CauseTimeout  Cause = "timeout"  // no whole answer in time
	CauseHTTP     Cause = "http"     // an answer of another status than 200
	CauseDocument Cause = "document" // an answer, but not one that can be used
)

// CauseOf finds the cause behind an error, through all its wrappings.
func CauseOf(err error) Cause {
	var (
		dns       *net.DNSError
		status    *StatusError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
		timeout   net.Error
	)
	switch {
	case err == nil:
		return CauseNone
	case errors.As(err, &dns):
		return CauseDNS
	case errors.As(err, &status):
		return CauseHTTP
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &verify), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return CauseTLS
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return CauseTimeout
	case errors.As(err, &op):
		return CauseConnect
	}
	return CauseDocument
}
