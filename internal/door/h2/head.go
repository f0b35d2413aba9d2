package h2

import (
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

// The pseudo-header fields of a request (RFC 9113, 8.3.1).
const (
	pseudoMethod = iota
	pseudoScheme
	pseudoPath
	pseudoAuthority
	pseudoCount
)

// head is a request's head, as it is decoded.
type head struct {
	pseudo [pseudoCount]string
	has    [pseudoCount]bool
	fields []model.Field
	host   string // of :authority, or of Host
	length int64  // declared; -1 = not
	size   int    // of the list, as RFC 9113, 6.5.2, counts
	ended  bool   // no body follows

	expects  bool // Expect: 100-continue
	trailers bool // TE: trailers

	fault      string // what is malformed; "" = nothing
	tooLarge   bool
	uriTooLong bool

	hosts, cookies int
	plain          bool // a field that is not a pseudo-header was seen
}

func (h *head) reset() {
	fields := h.fields[:0]
	*h = head{fields: fields, length: -1}
}

// method and path are safe to record where the head is malformed.
func (h *head) method() string { return orUnknown(h.pseudo[pseudoMethod]) }
func (h *head) path() string   { return orUnknown(h.pseudo[pseudoPath]) }

func orUnknown(s string) string {
	if s == "" {
		return "?"
	}
	return s
}

// malformed notes the first fault.
func (h *head) malformed(what string) {
	if h.fault == "" {
		h.fault = what
	}
}

// add takes one field of a request's head (RFC 9113, 8.2 and 8.3).
func (h *head) add(f hpack.HeaderField) {
	if what := fieldFault(f.Name, f.Value); what != "" {
		h.malformed(what)
		return
	}
	if f.Name[0] == ':' {
		h.addPseudo(f.Name, f.Value)
		return
	}
	h.plain = true
	if len(h.fields) >= wire.MaxFields {
		h.tooLarge = true
		return
	}
	if h.note(f.Name, f.Value) {
		h.fields = append(h.fields, model.Field{Name: f.Name, Value: f.Value})
	}
}

func (h *head) addPseudo(name, value string) {
	i := pseudoCount
	switch name {
	case ":method":
		i = pseudoMethod
	case ":scheme":
		i = pseudoScheme
	case ":path":
		i = pseudoPath
	case ":authority":
		i = pseudoAuthority
	}
	switch {
	case i == pseudoCount:
		h.malformed("there is a pseudo-header field that no request has")
	case h.plain:
		h.malformed("a pseudo-header field stands behind a field")
	case h.has[i]:
		h.malformed("a pseudo-header field stands there twice")
	default:
		h.pseudo[i], h.has[i] = value, true
	}
}

// note takes in what a field says of the message; false = it goes no further.
func (h *head) note(name, value string) bool {
	switch name {
	case "host":
		if h.hosts++; h.hosts == 1 {
			h.host = value
		} else if h.hosts > 1 {
			h.malformed("there is more than one Host")
		}
		return false
	case "content-length":
		if h.length >= 0 {
			h.malformed("there is more than one Content-Length")
		} else if h.length = decimal(value); h.length < 0 {
			h.malformed("Content-Length is not a length")
		}
	case "cookie":
		h.cookies++
	case "te":
		h.trailers = true
	case "expect":
		h.expects = model.EqualFold(value, "100-continue")
	}
	return true
}

// decimal reads 1*DIGIT, at most 18 of them; -1 = it is not that.
func decimal(s string) int64 {
	if s == "" || len(s) > 18 {
		return -1
	}
	n := int64(0)
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return -1
		}
		n = n*10 + int64(c)
	}
	return n
}

// fieldFault says what no field of HTTP/2 may be (RFC 9113, 8.2.1 and 8.2.2). ""
// = it may be.
func fieldFault(name, value string) string {
	if name == "" {
		return "a field has no name"
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			return "a field name has an upper-case letter"
		case !model.TokenByte(c) && (c != ':' || i > 0):
			return "a field name is not a token"
		}
	}
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "a field value has a control byte"
		}
	}
	if n := len(value); n > 0 && (value[0] == ' ' || value[0] == '\t' || value[n-1] == ' ' || value[n-1] == '\t') {
		return "a field value begins or ends with white space"
	}
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return "a field speaks of the connection"
	case "te":
		if !model.EqualFold(value, "trailers") {
			return "TE says something else than trailers"
		}
	}
	return ""
}

// settle draws the conclusions once the head is whole; ended says that no body
// follows.
func (h *head) settle(ended bool) {
	h.ended = ended
	method, path := h.pseudo[pseudoMethod], h.pseudo[pseudoPath]
	if h.fault != "" || h.tooLarge {
		return
	}
	switch scheme := h.pseudo[pseudoScheme]; {
	case method == "CONNECT": // extended or not: nobody was told that it is served (RFC 8441)
		h.malformed("CONNECT is not served")
	case !h.has[pseudoMethod] || !h.has[pseudoPath] || !h.has[pseudoScheme]:
		h.malformed("a pseudo-header field is missing")
	case !model.ValidToken(method):
		h.malformed("the method is not a token")
	case scheme != "https" && scheme != "http":
		h.malformed("the scheme is not HTTP's")
	case path == "":
		h.malformed("the path is empty")
	case ended && h.length > 0:
		h.malformed("Content-Length is not the body's length")
	}
	h.settleTarget(path)
	h.settleHost()
	if h.cookies > 1 {
		h.joinCookies()
	}
}

// settleTarget refuses what no target may hold (SPEC 7.1).
func (h *head) settleTarget(path string) {
	for i := 0; i < len(path); i++ {
		if c := path[i]; c <= ' ' || c >= 0x7f {
			h.malformed("the target has a control or non-ASCII byte")
		} else if c == '#' {
			h.malformed("the target has a fragment")
		}
	}
	if path != "" && path[0] != '/' { // nor has OPTIONS * anybody here to answer it
		h.malformed("the target is not in origin form")
	}
}

// settleHost takes :authority for the host, or Host where there is none; both must
// say the same (RFC 9113, 8.3.1).
func (h *head) settleHost() {
	authority := h.pseudo[pseudoAuthority]
	if h.has[pseudoAuthority] {
		if h.hosts > 0 && !model.EqualFold(authority, h.host) {
			h.malformed(":authority and Host differ")
		}
		h.host = authority
	}
	if !wire.ValidHost(h.host) {
		h.malformed("Host is missing or no host")
	}
}

// joinCookies makes one field of a cookie that was sent in crumbs: nobody behind
// us may be shown another cookie than the one that was decided on (RFC 9113, 8.2.3).
func (h *head) joinCookies() {
	var b strings.Builder
	kept := h.fields[:0]
	first := -1
	for _, f := range h.fields {
		if f.Name != "cookie" {
			kept = append(kept, f)
			continue
		}
		if first < 0 {
			first = len(kept)
			kept = append(kept, f)
		} else {
			b.WriteString("; ")
		}
		b.WriteString(f.Value)
	}
	kept[first].Value = b.String()
	h.fields = kept
}

// trailerFields are those that follow a body.
type trailerFields struct {
	list  []model.Field
	fault bool
}

func (t *trailerFields) add(f hpack.HeaderField) {
	if fieldFault(f.Name, f.Value) != "" || f.Name[0] == ':' || len(t.list) >= wire.MaxFields {
		t.fault = true
		return
	}
	t.list = append(t.list, model.Field{Name: f.Name, Value: f.Value})
}
