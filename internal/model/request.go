package model

import (
	"crypto/x509"
	"net/netip"
	"time"
)

// Request is the facts of one request as a door has parsed them. Strings may be
// views into the door's read buffer and live only as long as the request: copy
// what must outlive it.
type Request struct {
	Method string
	Target string // as received: origin-form, with its query
	Host   string // as received, with its port
	Scheme string // "https" or "http": of the listener, or of a trusted front end
	HTTP2  bool
	Fields []Field // in order, less Host; HTTP/2 pseudo-headers are not fields
	Body   bool    // a body follows
	Peer   netip.Addr
	Port   uint16    // of the listener
	TLS    *TLSFacts // nil on a plain connection
	Time   time.Time
	// Upgrade is the lower-case protocol of a well-formed upgrade request ("" = none).
	Upgrade string
	// Trial says that the request was not sent but asked about (explain): what is
	// found out is the same, and nothing is written, used up, extended or remembered.
	Trial bool
	// Anew says that a person signs in: whoever keeps the credential elsewhere is
	// asked again, whatever is remembered of it.
	Anew bool
}

// TLSFacts are what the handshake settled.
type TLSFacts struct {
	ServerName string
	Version    uint16
	Cipher     uint16
	// Certificate is the client's, verified for chain, time, usage and
	// revocation by the listener; nil where none was sent.
	Certificate *x509.Certificate
	// CertificateFault says why a certificate that was sent did not verify.
	CertificateFault string
}

// Get is the value of the first field of that name that is not dropped.
func (r *Request) Get(name string) (string, bool) {
	for i := range r.Fields {
		if f := &r.Fields[i]; !f.Dropped && EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// EqualFold compares ASCII header names without regard to case.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}
