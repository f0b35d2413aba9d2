package strip

import (
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// ClientIP tells whose request a trusted proxy passes on: the rightmost address of
// X-Forwarded-For that is not a trusted proxy's, with the scheme and host that the
// proxy was asked for. What is malformed or missing is not believed, and the
// nearest address that can be trusted stands. Host is "" where nothing was said.
func ClientIP(r *model.Request, trusted model.Prefixes) (ip netip.Addr, scheme, host string) {
	ip, scheme = r.Peer, r.Scheme
	if !trusted.Contains(r.Peer) {
		return ip, scheme, ""
	}
	for i := len(r.Fields) - 1; i >= 0; i-- {
		f := &r.Fields[i]
		if !model.EqualFold(f.Name, "X-Forwarded-For") {
			continue
		}
		rest, more := f.Value, true
		for more {
			var item string
			if j := strings.LastIndexByte(rest, ','); j >= 0 {
				rest, item = rest[:j], rest[j+1:]
			} else {
				item, more = rest, false
			}
			a, ok := address(strings.Trim(item, " \t"))
			if !ok {
				return ip, proto(r, scheme), said(r, "X-Forwarded-Host")
			}
			if ip = a; !trusted.Contains(a) {
				return ip, proto(r, scheme), said(r, "X-Forwarded-Host")
			}
		}
	}
	return ip, proto(r, scheme), said(r, "X-Forwarded-Host")
}

// address reads an address with an optional port.
func address(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap(), a.Zone() == ""
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), ap.Addr().Zone() == ""
	}
	return netip.Addr{}, false
}

func proto(r *model.Request, otherwise string) string {
	switch p := said(r, "X-Forwarded-Proto"); {
	case model.EqualFold(p, "https"):
		return "https"
	case model.EqualFold(p, "http"):
		return "http"
	}
	return otherwise
}

// said is the one value of a field; several, or a list, say nothing.
func said(r *model.Request, name string) string {
	v, n := "", 0
	for i := range r.Fields {
		if model.EqualFold(r.Fields[i].Name, name) {
			v, n = r.Fields[i].Value, n+1
		}
	}
	if n != 1 || strings.ContainsAny(v, ", \t") {
		return ""
	}
	return v
}

// Rebuild appends the fields that tell the backend where the request came from, as
// the socket says. Of a trusted peer the chain is kept and the peer put behind it.
func Rebuild(r *model.Request, trusted bool, peer string, add []model.Field) []model.Field {
	chain := peer
	host, scheme := r.Host, r.Scheme
	if trusted {
		for i := range r.Fields {
			f := &r.Fields[i]
			switch {
			case f.Dropped:
			case model.EqualFold(f.Name, "X-Forwarded-For"):
				if chain == peer {
					chain = f.Value + ", " + peer
				} else {
					chain = strings.TrimSuffix(chain, peer) + f.Value + ", " + peer
				}
				f.Dropped = true
			case model.EqualFold(f.Name, "X-Forwarded-Host"), model.EqualFold(f.Name, "X-Forwarded-Proto"),
				model.EqualFold(f.Name, "X-Forwarded-Port"):
				f.Dropped = true
			}
		}
	}
	return append(add,
		model.Field{Name: "X-Forwarded-For", Value: chain},
		model.Field{Name: "X-Forwarded-Host", Value: host},
		model.Field{Name: "X-Forwarded-Proto", Value: scheme},
		model.Field{Name: "X-Forwarded-Port", Value: port(host, scheme)})
}

func port(host, scheme string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		return host[i+1:]
	}
	if scheme == "http" {
		return "80"
	}
	return "443"
}
