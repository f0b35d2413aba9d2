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
}

const (
	denied        = "http_request_denied"
	wrong         = "http_request_error"
	internal      = "proxy_internal_error"
	configuration = "proxy_configuration_error"
)

var wordings = map[model.Code]wording{
	model.RequestMalformed:         {"The request is malformed", wrong},
	model.PathAmbiguous:            {"The path is ambiguous", wrong},
	model.CredentialMissing:        {"Credentials are needed", denied},
	model.CredentialInvalid:        {"The credentials were not accepted", denied},
	model.CredentialExpired:        {"The credential has expired", denied},
	model.PermissionDenied:         {"Not permitted", denied},
	model.CSRFFailed:               {"The request could not be told from a forged one", denied},
	model.OriginRefused:            {"Refused from this origin", denied},
	model.AddressRefused:           {"Refused from this address", denied},
	model.RouteNotFound:            {"Nothing is served here", "destination_not_found"},
	model.NotFound:                 {"Not found", wrong},
	model.MethodNotAllowed:         {"The method is not served here", wrong},
	model.Conflict:                 {"The change conflicts with what is there", wrong},
	model.PreconditionFailed:       {"The object has changed since it was read", wrong},
	model.BodyTooLarge:             {"The body is too large", wrong},
	model.URITooLong:               {"The address is too long", wrong},
	model.UnsupportedMediaType:     {"The media type is not accepted", wrong},
	model.Misdirected:              {"The request reached the wrong server", wrong},
	model.Invalid:                  {"The content is not valid", wrong},
	model.RateLimited:              {"Too many requests", denied},
	model.LoginThrottled:           {"Too many failed logins", denied},
	model.HeadersTooLarge:          {"The headers are too large", wrong},
	model.Internal:                 {"The gateway failed", internal},
	model.UpstreamUnreachable:      {"The service cannot be reached", "destination_unavailable"},
	model.UpstreamInvalid:          {"The service's answer is not valid", "http_protocol_error"},
	model.UpstreamTimeout:          {"The service took too long", "http_response_timeout"},
	model.AuthenticationDisabled:   {"Authentication is switched off", configuration},
	model.IdentityUnavailable:      {"Identities cannot be checked", internal},
	model.ConfigurationUnavailable: {"There is no configuration to serve", configuration},
	model.AuditUnavailable:         {"The audit record cannot be written", internal},
	model.Overloaded:               {"The gateway is overloaded", internal},
	model.LoopDetected:             {"The request has come in a loop", "proxy_loop_detected"},
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
