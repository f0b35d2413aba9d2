package standard

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

func malformed(detail string) (*model.Error, string) {
	return model.NewError(model.RequestMalformed, "The request is not well-formed: "+detail+"."), detail
}

// parse fills the exchange with the request's facts, and refuses what HTTP does
// not allow as far as net/http still shows it (SPEC 7.1).
func (x *exchange) parse() {
	r, ex := x.r, x.ex
	ex.Method, ex.Host, ex.HTTP2 = r.Method, r.Host, r.ProtoMajor == 2
	ex.Peer, ex.Port, ex.Time = x.conn.peer, x.conn.port, x.began
	ex.Body = r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
	ex.Scheme = "http"
	if r.TLS != nil {
		ex.Scheme, ex.TLS = "https", x.door.tls(x.conn, r.TLS)
	}
	ex.Fields = fields(ex.Fields[:0], r.Header)
	ex.Upgrade = upgrade(r)
	target, fault := originForm(r)
	ex.Request.Target = target
	switch {
	case fault != "":
	case !model.ValidToken(r.Method): // net/http looks at it in HTTP/1.1 alone (RFC 9110, 9.1)
		fault = "the method is not a token"
	case r.Method == http.MethodConnect: // in whatever form: a 2xx to it would end HTTP on the way out
		fault = "CONNECT is not served"
	case !validHost(r.Host):
		fault = "Host is missing or no host"
	case r.ProtoMajor == 2 && !hostsAgree(r):
		fault = ":authority and Host differ"
	}
	if fault != "" {
		ex.Err, ex.Detail = malformed(fault)
		ex.Step = gate.StepParse
		return
	}
	x.door.deps.Screen(ex)
}

// fields lists the header; net/http keeps the order of values and not of names.
// Host is not among them: net/http has taken it out, but for HTTP/2's second one.
func fields(out []model.Field, h http.Header) []model.Field {
	for name, values := range h {
		if name == "Host" {
			continue
		}
		for _, v := range values {
			out = append(out, model.Field{Name: name, Value: v})
		}
	}
	return out
}

// hostsAgree says whether a Host beside HTTP/2's :authority says the same
// (RFC 9113, 8.3.1).
func hostsAgree(r *http.Request) bool {
	for _, h := range r.Header["Host"] {
		if !strings.EqualFold(h, r.Host) {
			return false
		}
	}
	return true
}

// originForm gives the target from its path on. The absolute form says the host a
// second time; net/http believes that one alone, and so do we (RFC 9112, 3.2.2).
func originForm(r *http.Request) (target, fault string) {
	t := r.RequestURI
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case c <= ' ' || c >= 0x7f:
			return "/", "the target has a control or non-ASCII byte"
		case c == '#':
			return "/", "the target has a fragment"
		}
	}
	if strings.HasPrefix(t, "/") {
		return t, ""
	}
	scheme, rest, ok := strings.Cut(t, "://")
	if !ok || r.ProtoMajor == 2 {
		return "/", "the target is not in origin form"
	}
	if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "/", "the target's scheme is not HTTP"
	}
	host, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	switch {
	case !strings.EqualFold(host, r.Host):
		return "/", "the target and Host differ"
	case path == "" && r.Method == http.MethodOptions:
		return "/", "the target is not in origin form"
	case path == "" || path[0] == '?':
		path = "/" + path
	}
	return path, ""
}

// validHost says whether s is a host as SPEC 7.2 compares them: a name or an
// address, and perhaps a port; no user, no encoding.
func validHost(s string) bool {
	host, port, hasPort := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		if a, err := netip.ParseAddr(s[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		port, hasPort = strings.TrimPrefix(s[end+1:], ":"), end+1 < len(s)
		if hasPort && s[end+1] != ':' {
			return false
		}
	} else if host, port, hasPort = strings.Cut(s, ":"); !plainHost(host) {
		return false
	}
	if !hasPort {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && len(port) <= 5
}

func plainHost(s string) bool {
	if s == "" || len(s) > 254 || s[0] == '.' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && (i == 0 || s[i-1] != '.'):
		default:
			return false
		}
	}
	return true
}

// upgrade is "websocket" for a well-formed handshake, else "": any other protocol,
// h2c above all, would carry requests past every decision.
func upgrade(r *http.Request) string {
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.Method != http.MethodGet || r.ContentLength != 0 {
		return ""
	}
	u := r.Header["Upgrade"]
	if len(u) != 1 || !strings.EqualFold(u[0], "websocket") || !listed(r.Header["Connection"], "upgrade") {
		return ""
	}
	return "websocket"
}

// listed says whether one of the comma-separated lists has the token.
func listed(lists []string, token string) bool {
	for _, l := range lists {
		for item := range strings.SplitSeq(l, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
