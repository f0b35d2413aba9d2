package authn

import (
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Hosts are the names under which the gateway is meant to be called: that of
// externalURL, and those that routes name.
//
// A proof that names its target (DPoP, a message signature) says for whom it was
// made by the host in it, and the Host of the request is its sender's to choose.
// Were any host good, whoever is called with such a proof under a name of his own
// could pass it on to here.
type Hosts struct {
	exact map[string]bool
	wild  []string // what follows the *: ".example.com"
}

// NewHosts gathers the names of a configuration.
func NewHosts(externalURL string, routes []model.Route) *Hosts {
	h := &Hosts{exact: map[string]bool{}}
	if u, err := url.Parse(externalURL); err == nil && u.Host != "" {
		h.exact[hostname(u.Host)] = true
	}
	for i := range routes {
		for _, name := range routes[i].Hosts {
			if rest, wild := strings.CutPrefix(name, "*"); wild {
				h.wild = append(h.wild, hostname(rest))
			} else {
				h.exact[hostname(name)] = true
			}
		}
	}
	return h
}

// Ours says whether a Host is one of them, whatever its port. A nil Hosts has none.
func (h *Hosts) Ours(host string) bool {
	if h == nil {
		return false
	}
	host = hostname(host)
	if h.exact[host] {
		return host != ""
	}
	for _, suffix := range h.wild {
		if len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Authority is a host and port as RFC 9421, 2.2.3 and RFC 9110, 4.2.3 write it: in
// lower case, without the port that its scheme has anyway.
func Authority(scheme, host string) string {
	host = strings.ToLower(host)
	switch {
	case scheme == "https":
		host = strings.TrimSuffix(host, ":443")
	case scheme == "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":")
}
