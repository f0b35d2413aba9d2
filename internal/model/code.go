package model

import (
	"errors"
	"strconv"
)

// Code is one of the closed set of answers that the gateway itself makes.
// It is stable: clients, metrics, audit and policy tests rely on it.
type Code string

// The codes, by status. Allowed is not an answer; it is what a decision and a
// policy test say when nothing refused.
const (
	Allowed Code = "allowed"

	RequestMalformed Code = "request_malformed" // 400
	PathAmbiguous    Code = "path_ambiguous"    // 400

	CredentialMissing Code = "credential_missing" // 401
	CredentialInvalid Code = "credential_invalid" // 401
	CredentialExpired Code = "credential_expired" // 401

	PermissionDenied Code = "permission_denied" // 403
	CSRFFailed       Code = "csrf_failed"       // 403
	OriginRefused    Code = "origin_refused"    // 403
	AddressRefused   Code = "address_refused"   // 403

	RouteNotFound    Code = "route_not_found"    // 404
	NotFound         Code = "not_found"          // 404, admin API
	MethodNotAllowed Code = "method_not_allowed" // 405
	Conflict         Code = "conflict"           // 409, admin API

	PreconditionFailed   Code = "precondition_failed"    // 412, admin API
	BodyTooLarge         Code = "body_too_large"         // 413
	URITooLong           Code = "uri_too_long"           // 414
	UnsupportedMediaType Code = "unsupported_media_type" // 415, admin API
	Misdirected          Code = "misdirected"            // 421
	Invalid              Code = "invalid"                // 422, admin API
	RateLimited          Code = "rate_limited"           // 429
	LoginThrottled       Code = "login_throttled"        // 429
	HeadersTooLarge      Code = "headers_too_large"      // 431

	Internal Code = "internal_error" // 500: a fault of the gateway's own; never an answer to bad input

	UpstreamUnreachable Code = "upstream_unreachable" // 502
	UpstreamInvalid     Code = "upstream_invalid"     // 502
	UpstreamTimeout     Code = "upstream_timeout"     // 504

	AuthenticationDisabled   Code = "authentication_disabled"   // 503
	IdentityUnavailable      Code = "identity_unavailable"      // 503
	ConfigurationUnavailable Code = "configuration_unavailable" // 503
	AuditUnavailable         Code = "audit_unavailable"         // 503
	Overloaded               Code = "overloaded"                // 503

	LoopDetected Code = "loop_detected" // 508
)

var statuses = map[Code]int{
	Allowed:          200,
	RequestMalformed: 400, PathAmbiguous: 400,
	CredentialMissing: 401, CredentialInvalid: 401, CredentialExpired: 401,
	PermissionDenied: 403, CSRFFailed: 403, OriginRefused: 403, AddressRefused: 403,
	RouteNotFound: 404, NotFound: 404, MethodNotAllowed: 405, Conflict: 409,
	PreconditionFailed: 412, BodyTooLarge: 413, URITooLong: 414, UnsupportedMediaType: 415,
	Misdirected: 421, Invalid: 422, RateLimited: 429, LoginThrottled: 429, HeadersTooLarge: 431,
	Internal: 500, UpstreamUnreachable: 502, UpstreamInvalid: 502, UpstreamTimeout: 504,
	AuthenticationDisabled: 503, IdentityUnavailable: 503, ConfigurationUnavailable: 503,
	AuditUnavailable: 503, Overloaded: 503, LoopDetected: 508,
}

// Status is the HTTP status of the code; 500 for a code outside the set.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return 500
}

// Valid says whether c is one of the closed set.
func (c Code) Valid() bool { _, ok := statuses[c]; return ok }

// Error is the only error type that reaches a client. Message is safe to
// publish; Err is the cause, for logs and audit alone.
type Error struct {
	Code    Code
	Message string
	Err     error
	// RetryAfter, in seconds, is sent where it is more than zero.
	RetryAfter int
	// Allow lists the methods of a 405.
	Allow []string
	// Faults are the entries of a 422, one each.
	Faults Faults
}

// Errorf-free constructor: the message is published as it stands.
func NewError(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// WithCause returns a copy of e that carries the cause for logs.
func (e *Error) WithCause(err error) *Error { c := *e; c.Err = err; return &c }

func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if len(e.Faults) > 0 {
		s += ": " + e.Faults.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// AsError finds the *Error in err's chain, or wraps err as an internal fault, so
// that an unforeseen error is always a refusal.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Internal, Message: "The gateway met an unexpected fault.", Err: err}
}

// Fault is one thing wrong with a configuration or a request body.
type Fault struct {
	Path    string `json:"path"`           // where, as a dotted path: routes[2].service
	Message string `json:"message"`        // what is wrong and how to mend it
	File    string `json:"file,omitempty"` // for files
	Line    int    `json:"line,omitempty"` // for files, from 1
}

func (f Fault) String() string {
	s := f.Path
	if s != "" {
		s += ": "
	}
	s += f.Message
	if f.Line > 0 {
		s = "line " + strconv.Itoa(f.Line) + ": " + s
	}
	if f.File != "" {
		s = f.File + ": " + s
	}
	return s
}

// Faults are all the faults found in one go. As an error it is only meaningful
// when not empty; use Err to hand it on.
type Faults []Fault

// Add appends a fault.
func (f *Faults) Add(path, message string) { *f = append(*f, Fault{Path: path, Message: message}) }

// Err is nil when there is no fault, else an Invalid *Error that carries them.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Code: Invalid, Message: "The configuration does not hold together.", Faults: f}
}

func (f Faults) Error() string {
	out := ""
	for i, x := range f {
		if i > 0 {
			out += "; "
		}
		out += x.String()
	}
	return out
}
