package match

import (
	"net/netip"
	"strings"
	"unsafe"

	"github.com/sallyport/sallyport/internal/model"
)

// hostBuffer holds a host that had to be folded; no DNS name is longer than 253.
type hostBuffer [256]byte

// normalHost folds case and removes port and trailing dot (CVE-2026-48794: a host
// that was not folded slipped past its rules). IPv6 literals take their one
// spelling. The result is a view of host or of buf.
func normalHost(host string, buf *hostBuffer) (string, *model.Error) {
	if host != "" && host[0] == '[' {
		return literalHost(host, buf)
	}
	end, upper := len(host), false
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		case c >= 'A' && c <= 'Z':
			upper = true
		case c == ':' && digits(host[i+1:]):
			end = i
		default:
			return "", malformed("The host is not a name, an address, or one of them with a port.")
		}
		if end < len(host) {
			break
		}
	}
	host = host[:end]
	host = strings.TrimSuffix(host, ".")
	if !upper {
		return host, nil
	}
	if len(host) > len(buf) {
		return "", malformed("The host is longer than any name can be.")
	}
	for i := 0; i < len(host); i++ {
		c := host[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return unsafe.String(&buf[0], len(host)), nil
}

func literalHost(host string, buf *hostBuffer) (string, *model.Error) {
	end := strings.IndexByte(host, ']')
	if end > 0 && (end+1 == len(host) || host[end+1] == ':' && digits(host[end+2:])) {
		if a, err := netip.ParseAddr(host[1:end]); err == nil && a.Is6() && a.Zone() == "" {
			b := append(a.AppendTo(append(buf[:0], '[')), ']')
			return unsafe.String(&b[0], len(b)), nil
		}
	}
	return "", malformed("The host is not an IPv6 address in brackets, or one with a port.")
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
