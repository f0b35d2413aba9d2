package csrf

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// The names of the token. The prefix __Host- is compared exactly: browsers enforce
// it only so spelled (GHSA-jjmg-x456-w976).
const (
	Cookie = "__Host-sallyport-csrf"
	Header = "X-CSRF-Token"
)

// Check computes and compares tokens. Its key must outlive restarts and be the
// same on every node, or open pages break.
type Check struct{ key []byte }

// New makes a check; key is at least 32 random bytes.
func New(key []byte) *Check { return &Check{append([]byte(nil), key...)} }

// Facts are what the check sees of one request.
type Facts struct {
	Method    string
	Scheme    string // of the request's own origin
	Host      string // of the request's own origin, port included
	Fields    []model.Field
	WebSocket bool     // a WebSocket handshake
	Session   bool     // a login session: the token is always needed
	Origins   []string // the route's cors.origins
	Binding   string   // what the token is bound to, steady for its life
	Token     string   // the token of Binding, where it is known already
	Form      *string  // the field csrf of one of the gateway's own forms, in the header's place
	Disabled  bool     // csrfProtectionDisabled
}

var (
	originRefused = &model.Error{Code: model.OriginRefused, Message: "A page of another origin may not send this request."}
	failed        = &model.Error{Code: model.CSRFFailed, Message: "The request lacks a valid CSRF token: header X-CSRF-Token and cookie __Host-sallyport-csrf must both hold the value that the gateway set."}
)

// Verify refuses a request with an ambient credential that another site may have
// made a browser send. The origin is looked at before the token.
func (c *Check) Verify(f *Facts) *model.Error {
	b := look(f.Fields)
	if f.WebSocket {
		// CORS does not hold WebSockets back, so nothing switches this off; a page
		// cannot set headers on a handshake, so there is no token to ask for.
		if b.any && !f.originAllowed(&b) {
			return originRefused
		}
		return nil
	}
	if safe(f.Method) || f.Disabled {
		return nil
	}
	if !b.any && !f.Session { // curl and machines: nothing of a browser to abuse
		return nil
	}
	if !f.originAllowed(&b) {
		return originRefused
	}
	want := c.want(f)
	if f.Form != nil {
		b.header, b.headers = *f.Form, 1
	}
	if !one(b.header, b.headers, want) || !one(b.cookie, b.cookies, want) {
		return failed
	}
	return nil
}

// one compares the only value in constant time; several values are nobody's.
func one(got string, n int, want string) bool {
	return n == 1 && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// SetCookie is the Set-Cookie value for an answer to an authenticated request that
// shows a browser and lacks the cookie; "" = none is due.
func (c *Check) SetCookie(f *Facts) string {
	b := look(f.Fields)
	if !b.any && !f.Session {
		return ""
	}
	want := c.want(f)
	if one(b.cookie, b.cookies, want) {
		return ""
	}
	return Cookie + "=" + want + "; Path=/; Secure; SameSite=Lax"
}

func (c *Check) want(f *Facts) string {
	if f.Token != "" {
		return f.Token
	}
	return c.Token(f.Binding)
}

// Token is the value for a binding: an HMAC, so that no neighbour domain can make
// one (GHSA-rc4q-9m69-gqp8), and steady, so that tabs do not break each other.
func (c *Check) Token(binding string) string {
	m := hmac.New(sha256.New, c.key)
	m.Write([]byte("csrf\x00"))
	m.Write([]byte(binding))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func safe(method string) bool {
	return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE"
}

// browser is what shows a browser in a request.
type browser struct {
	any              bool // Origin, Referer, Cookie or Sec-Fetch-*
	origin, referer  string
	origins          int
	site             string
	header, cookie   string
	headers, cookies int
}

// look reads the fields, dropped ones included: what is not forwarded still shows
// who sent it.
func look(fields []model.Field) (b browser) {
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		switch len(name) {
		case len("Origin"): // and Cookie
			if model.EqualFold(name, "Origin") {
				b.any, b.origin, b.origins = true, value, b.origins+1
			} else if model.EqualFold(name, "Cookie") {
				b.any = true
				b.readCookies(value)
			}
		case len("Referer"):
			if model.EqualFold(name, "Referer") {
				b.any, b.referer = true, value
			}
		case len(Header):
			if model.EqualFold(name, Header) {
				b.header, b.headers = value, b.headers+1
			}
		}
		if len(name) > len("Sec-Fetch-") && model.EqualFold(name[:len("Sec-Fetch-")], "Sec-Fetch-") {
			b.any = true
			if model.EqualFold(name, "Sec-Fetch-Site") {
				b.site = value
			}
		}
	}
	return b
}

func (b *browser) readCookies(v string) {
	for v != "" {
		var pair string
		pair, v, _ = strings.Cut(v, ";")
		if value, ok := strings.CutPrefix(strings.Trim(pair, " \t"), Cookie+"="); ok {
			b.cookie, b.cookies = value, b.cookies+1
		}
	}
}

// originAllowed compares scheme, host and port with the request's own and with the
// route's cors.origins. Without Origin, Fetch Metadata decides, then Referer.
func (f *Facts) originAllowed(b *browser) bool {
	if b.origins > 1 {
		return false
	}
	if b.origins == 1 {
		return f.known(b.origin)
	}
	switch b.site {
	case "same-origin", "none":
		return true
	case "":
	default: // same-site, cross-site, and whatever may come
		return false
	}
	if b.referer != "" {
		return f.known(originOf(b.referer))
	}
	return true // a Cookie alone: the token decides
}

func (f *Facts) known(origin string) bool {
	o, ok := normal(origin)
	if !ok {
		return false
	}
	if own, ok := normal(f.Scheme + "://" + f.Host); ok && o == own {
		return true
	}
	for _, a := range f.Origins { // "*" admits readers, not writers
		if a, ok := normal(a); ok && a == o {
			return true
		}
	}
	return false
}

// originOf cuts a URL behind its authority.
func originOf(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}

// normal is an origin in lower case, without a default port, a trailing dot or
// user information; "null" and everything that is no origin is none.
func normal(o string) (string, bool) {
	scheme, host, ok := strings.Cut(strings.ToLower(o), "://")
	if !ok || host == "" || strings.ContainsAny(host, "/?#@ \\,") || scheme != "http" && scheme != "https" {
		return "", false
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		name, port = host[:i], host[i+1:]
	}
	name = strings.TrimSuffix(name, ".")
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + name + ":" + port, name != ""
}
