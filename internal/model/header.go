package model

import "strings"

// Field is one header field. In a Request, Dropped marks what is not forwarded.
type Field struct {
	Name    string
	Value   string
	Dropped bool
}

// hopByHop are the fields that end at each hop (RFC 9110, 7.6.1).
var hopByHop = foldedSet("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer",
	"Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization", "HTTP2-Settings")

// framing are the fields that say where a message begins, ends and goes.
var framing = foldedSet("Host", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", "Date")

// credential are the fields in which callers prove themselves.
var credential = foldedSet("Authorization", "Cookie", "Set-Cookie", "Proxy-Authorization",
	"X-API-Key", "WWW-Authenticate", "Proxy-Authenticate", "Signature", "Signature-Input", "DPoP", "X-CSRF-Token")

// gatewaySet are the fields that the gateway sets by names of its own.
var gatewaySet = foldedSet("X-Request-Id", "Proxy-Status")

func foldedSet(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[Fold(n)] = true
	}
	return m
}

// HopByHop says whether a header of that name ends at this hop.
func HopByHop(name string) bool { return hopByHop[Fold(name)] }

func routing(folded string) bool {
	return folded == "host" || folded == "forwarded" || folded == "via" || folded == "cdnloop" ||
		strings.HasPrefix(folded, "xforwarded")
}

// OwnHeaderFault says why name cannot be a header that the gateway sets for a
// backend, such as usernameHeader, identityHeaders and present.header. "" = it can.
func OwnHeaderFault(name string) string {
	f := Fold(name)
	switch {
	case !ValidToken(name):
		return "is not a header name (RFC 9110, 5.1)"
	case f == "":
		return "has no letter or digit"
	case hopByHop[f] || framing[f]:
		return "is a framing or hop-by-hop header"
	case credential[f]:
		return "is a header that carries credentials"
	case routing(f):
		return "is a routing header"
	case gatewaySet[f]:
		return "is a header that the gateway sets already"
	}
	return ""
}

// EditableHeaderFault says why name cannot be set or removed by a route's edit,
// as far as the name alone tells. "" = it can.
func EditableHeaderFault(name string) string {
	f := Fold(name)
	switch {
	case !ValidToken(name):
		return "is not a header name (RFC 9110, 5.1)"
	case hopByHop[f] || framing[f]:
		return "is a framing or hop-by-hop header"
	case gatewaySet[f]:
		return "is a header that the gateway sets itself"
	}
	return ""
}
