package wire

import (
	"bytes"
	"net/netip"

	"github.com/sallyport/sallyport/internal/model"
)

// MaxFields is how many fields a message head may have.
const MaxFields = 256

// Request is the head of a request. Strings are views into the buffer.
type Request struct {
	Method string
	Target string // origin-form, or "*"; an absolute-form target is reduced to it
	Host   string
	Minor  int // of HTTP/1.x: 0 or 1
	Fields []model.Field
	Length int64 // of the body; -1 = chunked
	// Close says that the connection ends with this exchange.
	Close     bool
	Expect100 bool
	Upgrade   string // lower-case protocol of a well-formed upgrade request
	Trailers  bool   // TE: trailers
}

// Chunked says whether the body is chunked.
func (r *Request) Chunked() bool { return r.Length < 0 }

// ParseRequest reads one request head from the start of b into r, whose Fields
// slice is reused. It answers how many bytes the head took; 0 with no error means
// that b does not hold a whole head yet.
func ParseRequest(b []byte, r *Request) (int, error) {
	fields := r.Fields[:0]
	*r = Request{Fields: fields}
	skipped := 0
	if len(b) >= 2 && b[0] == '\r' && b[1] == '\n' { // RFC 9112, 2.2: one empty line may precede
		b, skipped = b[2:], 2
	}
	l, rest, ok, err := line(b)
	if err != nil || !ok {
		return 0, err
	}
	if err := r.requestLine(l); err != nil {
		return 0, err
	}
	var f framing
	var n int
	r.Fields, n, err = parseFields(rest, fields, MaxFields, &f)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := r.settle(&f); err != nil {
		return 0, err
	}
	return skipped + len(l) + 2 + n, nil
}

func (r *Request) requestLine(l []byte) error {
	i := bytes.IndexByte(l, ' ')
	j := bytes.LastIndexByte(l, ' ')
	if i <= 0 || j <= i {
		return Malformed("the request line is not method, target and version")
	}
	r.Method, r.Target = view(l[:i]), view(l[i+1:j])
	if !model.ValidToken(r.Method) {
		return Malformed("the method is not a token")
	}
	switch version := l[j+1:]; {
	case bytes.Equal(version, []byte("HTTP/1.1")):
		r.Minor = 1
	case bytes.Equal(version, []byte("HTTP/1.0")):
	default:
		return Malformed("the version is not HTTP/1.1 or HTTP/1.0")
	}
	return targetBytes(r.Target)
}

// targetBytes refuses what no target may hold: space, controls, bytes outside
// ASCII, a fragment (SPEC 7.1).
func targetBytes(t string) error {
	if t == "" {
		return Malformed("the target is empty")
	}
	for i := 0; i < len(t); i++ {
		if c := t[i]; c <= ' ' || c >= 0x7f {
			return Malformed("the target has a control byte, a space or a byte outside ASCII")
		} else if c == '#' {
			return Malformed("the target has a fragment")
		}
	}
	return nil
}

// settle draws the conclusions from all fields together.
func (r *Request) settle(f *framing) error {
	switch {
	case f.hosts == 0:
		return Malformed("Host is missing")
	case f.hosts > 1:
		return Malformed("there is more than one Host")
	case !ValidHost(f.host):
		return Malformed("Host is not a host")
	case f.te && f.lengths > 0:
		return Malformed("Transfer-Encoding stands beside Content-Length")
	case f.te && r.Minor == 0:
		return Malformed("Transfer-Encoding in HTTP/1.0")
	}
	r.Host = f.host
	if err := r.form(); err != nil {
		return err
	}
	r.Length = max(f.length, 0)
	if f.chunked {
		r.Length = -1
	}
	r.Close = f.close || r.Minor == 0 && !f.keepAlive
	r.Expect100 = f.expect100 && r.Minor == 1 && r.Length != 0
	r.Trailers = f.teTrailers
	if r.Minor == 1 && r.Method == "GET" && r.Length == 0 && model.EqualFold(f.protocol(), "websocket") {
		r.Upgrade = "websocket"
	}
	return nil
}

// form reduces the target to origin-form (RFC 9112, 3.2).
func (r *Request) form() error {
	switch {
	case r.Method == "CONNECT": // in whatever form: a 2xx to it would end HTTP on the way out
		return Malformed("CONNECT is not served")
	case r.Target[0] == '/':
		return nil
	case r.Target == "*" && r.Method == "OPTIONS":
		return nil
	}
	rest, ok := cutScheme(r.Target)
	if !ok {
		return Malformed("the target is neither a path nor an absolute URL")
	}
	slash := 0
	for slash < len(rest) && rest[slash] != '/' && rest[slash] != '?' {
		slash++
	}
	if !model.EqualFold(rest[:slash], r.Host) {
		return Malformed("the target's authority is not Host")
	}
	switch rest = rest[slash:]; {
	case rest == "" && r.Method == "OPTIONS":
		rest = "*" // RFC 9112, 3.2.4
	case rest == "":
		rest = "/"
	case rest[0] == '?':
		rest = "/" + rest
	}
	r.Target = rest
	return nil
}

func cutScheme(t string) (string, bool) {
	for _, s := range [...]string{"https://", "http://"} {
		if len(t) > len(s) && model.EqualFold(t[:len(s)], s) {
			return t[len(s):], true
		}
	}
	return "", false
}

// ValidHost says whether h is a uri-host with an optional port (RFC 9110, 7.2), in
// the characters that real names and addresses have.
func ValidHost(h string) bool {
	if h == "" || len(h) > 260 {
		return false
	}
	i := 0
	if h[0] == '[' {
		for i = 1; i < len(h) && h[i] != ']'; i++ {
			if !isHex(h[i]) && h[i] != ':' && h[i] != '.' { // no zone: it would mean something here alone
				return false
			}
		}
		if i == len(h) {
			return false
		}
		if a, err := netip.ParseAddr(h[1:i]); err != nil || !a.Is6() {
			return false
		}
		i++
	} else if i = hostName(h); i == 0 {
		return false
	}
	return i == len(h) || h[i] == ':' && validPort(h[i+1:])
}

// hostName gives the length of the name that h begins with; 0 = there is none. No
// label is empty but the one behind a final dot.
func hostName(h string) int {
	i := 0
	for ; i < len(h) && h[i] != ':'; i++ {
		c := h[i]
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && h[i-1] != '.':
		default:
			return 0
		}
	}
	return i
}

// validPort takes 1 to 65535.
func validPort(p string) bool {
	n := 0
	for i := 0; i < len(p); i++ {
		if p[i] < '0' || p[i] > '9' {
			return false
		}
		n = n*10 + int(p[i]-'0')
	}
	return n > 0 && n < 1<<16 && len(p) <= 5
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}
