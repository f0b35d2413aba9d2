package login

import (
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/gate"
)

// longestReturn bounds an address to go back to.
const longestReturn = 4 << 10

// checkReturn is where a browser may go after a login: a path of this host, or an
// address of a host that the gateway serves. Origins are compared parsed, never as
// text that begins alike; whatever is anything else goes to "/". Browsers read a
// backslash as a slash and drop tabs and line ends, so none may be in it
// (GHSA-qqxw-m5fj-f7gv, CVE-2020-11053, CVE-2020-4037, CVE-2021-32786).
func checkReturn(raw, ownOrigin string, external *url.URL, plan *gate.Plan) string {
	if raw == "" || len(raw) > longestReturn || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return "/"
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.User != nil {
		return "/"
	}
	if u.Scheme == "" && u.Host == "" {
		if !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") || own(u) {
			return "/"
		}
		return raw
	}
	if u.Scheme != external.Scheme || u.Host == "" || own(u) {
		return "/"
	}
	origin := u.Scheme + "://" + strings.ToLower(u.Host)
	switch {
	case origin == strings.ToLower(ownOrigin):
		return orRoot(u.RequestURI())
	case origin == external.Scheme+"://"+strings.ToLower(external.Host):
		return raw
	case u.Port() == external.Port() && served(plan, u.Hostname()): // another port is another's server
		return raw
	}
	return "/"
}

func orRoot(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return "/"
	}
	return path
}

// own keeps a login from coming back to a page that begins or ends one.
func own(u *url.URL) bool {
	p := strings.ToLower(u.Path)
	return strings.HasPrefix(p, "/.sallyport/") && p != pathAccount
}

// served says whether a route names the host.
func served(plan *gate.Plan, host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for i := range plan.Set.Routes {
		for _, h := range plan.Set.Routes[i].Hosts {
			h = strings.ToLower(h)
			if h == host {
				return true
			}
			// A wildcard stands for one or more labels and never for none: the dot counts
			// (CVE-2021-21291).
			if suffix, ok := strings.CutPrefix(h, "*"); ok && strings.HasPrefix(suffix, ".") && len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
				return true
			}
		}
	}
	return false
}
