package problem

import (
	"context"
	"errors"
	"net"
	"syscall"

	"github.com/sallyport/sallyport/internal/model"
)

// wording is what is said of a code beside its status.
type wording struct {
	title string
	proxy string // the error type of RFC 9209, 2.3
	grpc  int    // the status of gRPC
}

// Statuses of gRPC.
const (
	grpcUnknown           = 2
	grpcInvalidArgument   = 3
	grpcDeadlineExceeded  = 4
	grpcNotFound          = 5
	grpcAlreadyExists     = 6
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcPrecondition      = 9
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

const (
	denied        = "http_request_denied"
	wrong         = "http_request_error"
	internal      = "proxy_internal_error"
	configuration = "proxy_configuration_error"
)

var wordings = map[model.Code]wording{
	model.RequestMalformed:         {"The request is malformed", wrong, grpcInternal},
	model.PathAmbiguous:            {"The path is ambiguous", wrong, grpcInvalidArgument},
	model.CredentialMissing:        {"Credentials are needed", denied, grpcUnauthenticated},
	model.CredentialInvalid:        {"The credentials were not accepted", denied, grpcUnauthenticated},
	model.CredentialExpired:        {"The credential has expired", denied, grpcUnauthenticated},
	model.PermissionDenied:         {"Not permitted", denied, grpcPermissionDenied},
	model.CSRFFailed:               {"The request could not be told from a forged one", denied, grpcPermissionDenied},
	model.OriginRefused:            {"Refused from this origin", denied, grpcPermissionDenied},
	model.AddressRefused:           {"Refused from this address", denied, grpcPermissionDenied},
	model.RouteNotFound:            {"Nothing is served here", "destination_not_found", grpcUnimplemented},
	model.NotFound:                 {"Not found", wrong, grpcNotFound},
	model.MethodNotAllowed:         {"The method is not served here", wrong, grpcUnimplemented},
	model.Conflict:                 {"The change conflicts with what is there", wrong, grpcAlreadyExists},
	model.PreconditionFailed:       {"The object has changed since it was read", wrong, grpcPrecondition},
	model.BodyTooLarge:             {"The body is too large", wrong, grpcResourceExhausted},
	model.URITooLong:               {"The address is too long", wrong, grpcInvalidArgument},
	model.UnsupportedMediaType:     {"The media type is not accepted", wrong, grpcInvalidArgument},
	model.Misdirected:              {"The request reached the wrong server", wrong, grpcInternal},
	model.Invalid:                  {"The content is not valid", wrong, grpcInvalidArgument},
	model.RateLimited:              {"Too many requests", denied, grpcResourceExhausted},
	model.LoginThrottled:           {"Too many failed logins", denied, grpcResourceExhausted},
	model.HeadersTooLarge:          {"The headers are too large", wrong, grpcResourceExhausted},
	model.Internal:                 {"The gateway failed", internal, grpcInternal},
	model.UpstreamUnreachable:      {"The service cannot be reached", "destination_unavailable", grpcUnavailable},
	model.UpstreamInvalid:          {"The service's answer is not valid", "http_protocol_error", grpcUnavailable},
	model.UpstreamTimeout:          {"The service took too long", "http_response_timeout", grpcDeadlineExceeded},
	model.AuthenticationDisabled:   {"Authentication is switched off", configuration, grpcUnavailable},
	model.IdentityUnavailable:      {"Identities cannot be checked", internal, grpcUnavailable},
	model.ConfigurationUnavailable: {"There is no configuration to serve", configuration, grpcUnavailable},
	model.AuditUnavailable:         {"The audit record cannot be written", internal, grpcUnavailable},
	model.Overloaded:               {"The gateway is overloaded", internal, grpcUnavailable},
	model.LoopDetected:             {"The request has come in a loop", "proxy_loop_detected", grpcInternal},
}

func title(c model.Code) string { return wordings[c].title }

// ProxyStatus is the value of the Proxy-Status field for e (RFC 9209).
func ProxyStatus(e *model.Error) string {
	return "sallyport; error=" + proxyError(e) + `; details="` + string(e.Code) + `"`
}

func proxyError(e *model.Error) string {
	if e.Code == model.UpstreamUnreachable && e.Err != nil {
		var n net.Error
		var dns *net.DNSError
		switch {
		case errors.As(e.Err, &dns) && dns.IsTimeout:
			return "dns_timeout"
		case errors.As(e.Err, &dns):
			return "dns_error"
		case errors.Is(e.Err, syscall.ECONNREFUSED):
			return "connection_refused"
		case errors.Is(e.Err, context.DeadlineExceeded), errors.As(e.Err, &n) && n.Timeout():
			return "connection_timeout"
		case errors.Is(e.Err, syscall.ECONNRESET):
			return "connection_terminated"
		}
	}
	if w, ok := wordings[e.Code]; ok {
		return w.proxy
	}
	return internal
}

func grpcStatus(c model.Code) int {
	if w, ok := wordings[c]; ok {
		return w.grpc
	}
	return grpcUnknown
}

// grpcMessage percent-encodes as gRPC over HTTP/2 asks: printable ASCII but %.
func grpcMessage(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}
