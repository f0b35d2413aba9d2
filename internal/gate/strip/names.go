package strip

import (
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// fixed are the names of the identity namespace that need no configuration
// (SPEC 7.3). A trailing * stands for any further letters or digits (none, where no
// dash stands before it): folding drops the dash, so that X-User-* reaches X-UserName too. That is meant: a
// backend which folds as we do reads the two as one.
var fixed = []string{
	"X-User", "X-User-*", "X-Client-Id", "X-Auth-Method", "X-Auth-Username", "X-Token-Subject", "X-Sallyport-*",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token",
	"X-Authenticated-*", "X-Auth-Request-*", "X-Remote-*", "Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email",
	"X-WebAuth-*", "X-Original-User", "X-Consumer-*", "X-Credential-*", "X-Anonymous-Consumer", "X-Authentik-*",
	"X-Vouch-*", "X-Pomerium-*", "X-Goog-Authenticated-*", "X-Goog-Iap-*", "Cf-Access-*", "X-Amzn-Oidc-*",
	"X-Ms-Client-Principal*", "Client-Cert", "Client-Cert-Chain", "X-Client-Cert*", "X-Forwarded-Client-Cert",
	"SSL-Client-*", "X-SSL-Client-*",
}

// forwarded are the names that say where a request came from. They are believed of
// trusted proxies alone.
var forwarded = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
	"X-Forwarded-Server", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-URL", "X-Rewrite-URL", "X-Real-IP", "True-Client-IP",
}

// hop are the names that end at this hop (RFC 9110, 7.6.1), what frames a message,
// and what the doors write themselves.
var hop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings",
	"Proxy-Authorization", "Proxy-Authenticate", "Content-Length", "Expect", "Host", "X-Request-Id",
}

type class uint8

const (
	plain class = iota
	owned
	configured // owned, and an attempt at it is a security event
	origin
	ends
)

type prefix struct {
	folded string
	class  class
}

// Names is the identity namespace of one configuration, compiled.
type Names struct {
	exact    map[string]class // by folded name
	prefixes [256][]prefix    // by the folded name's first byte
	first    [256]bool        // bytes that a folded name of interest may begin with
}

// Compile gathers the names that the settings and providers add to the fixed ones.
func Compile(s *model.Settings, providers []model.IdentityProvider) *Names {
	n := &Names{exact: map[string]class{}}
	for _, list := range []struct {
		names []string
		class class
	}{{forwarded, origin}, {hop, ends}, {fixed, owned}} {
		for _, name := range list.names {
			n.add(name, list.class)
		}
	}
	for _, name := range s.IdentityHeaders.AlsoStrip {
		n.add(name, owned)
	}
	for i := range providers {
		n.add(providers[i].Header, owned)
		n.add(providers[i].SecretHeader, owned)
	}
	for _, h := range s.Named() {
		n.add(h.Header, configured)
	}
	return n
}

func (n *Names) add(name string, c class) {
	base, wild := strings.CutSuffix(name, "*")
	f := model.Fold(base)
	if f == "" {
		return
	}
	if n.exact[f] == ends && c != ends { // what ends here is dropped anyway, and must not become an identity
		return
	}
	n.first[f[0]] = true
	if wild {
		if !strings.HasSuffix(base, "-") {
			n.exact[f] = c
		}
		n.prefixes[f[0]] = append(n.prefixes[f[0]], prefix{f, c})
		return
	}
	n.exact[f] = c
}

// maxName is the longest name that is folded on the stack; a longer one is folded
// on the heap, which no ordinary request makes us do.
const maxName = 96

func (n *Names) classify(name string) class {
	var buf [maxName]byte
	b := buf[:0]
	if len(name) > maxName {
		b = make([]byte, 0, len(name))
	}
	for i := 0; i < len(name); i++ {
		if c := folds[name[i]]; c != 0 {
			b = append(b, c)
		}
	}
	for len(b) >= 4 && b[0] == 'h' && b[1] == 't' && b[2] == 't' && b[3] == 'p' {
		// CGI's prefix; a name may be wrapped more than once
		if c, ok := n.exact[string(b)]; ok {
			return c
		}
		b = b[4:]
	}
	if len(b) == 0 || !n.first[b[0]] {
		return plain
	}
	if c, ok := n.exact[string(b)]; ok {
		return c
	}
	for _, p := range n.prefixes[b[0]] {
		if len(b) > len(p.folded) && string(b[:len(p.folded)]) == p.folded {
			return p.class
		}
	}
	return plain
}

// folds maps a byte to what it counts as in a folded name; 0 = it is dropped.
var folds = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-32] = c, c
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = c
	}
	return t
}()

// Owned says whether name belongs to the identity namespace: neither a client, nor
// a trailer, nor a route's edit may set it.
func (n *Names) Owned(name string) bool {
	c := n.classify(name)
	return c == owned || c == configured
}

// Plain says that the name is of nothing that the gateway guards, rebuilds or ends.
func (n *Names) Plain(name string) bool { return n.classify(name) == plain }

// Apply marks as Dropped what goes no further: the identity namespace, what ends
// at this hop (with the names that Connection lists), framing, and, unless the
// peer is trusted, what says where the request came from. What remains undropped
// is exactly what may be forwarded. Dropped values stay readable: a front end's
// proof is among them. The spelled names of attempts at a configured identity
// header are appended to forged.
func (n *Names) Apply(r *model.Request, trusted bool, forged []string) []string {
	nominated := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch n.classify(f.Name) {
		case configured:
			f.Dropped = true
			forged = append(forged, strings.Clone(f.Name))
		case owned:
			f.Dropped = true
		case origin:
			f.Dropped = f.Dropped || !trusted || !exactSpelling(f.Name)
		case ends:
			f.Dropped = true
			nominated = nominated || len(f.Name) == len("Connection") && model.EqualFold(f.Name, "Connection")
		}
	}
	if nominated {
		dropNominated(r.Fields)
	}
	return forged
}

// exactSpelling refuses aliases such as X_Forwarded_For: a trusted proxy spells
// its fields with dashes, and passes a client's alias through untouched.
func exactSpelling(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; folds[c] == 0 && c != '-' {
			return false
		}
	}
	return true
}

// dropNominated drops the fields that a Connection field names. It runs before the
// gateway adds its own, so that none of those can be named away (CVE-2024-45410).
func dropNominated(fields []model.Field) {
	for i := range fields {
		if !model.EqualFold(fields[i].Name, "Connection") {
			continue
		}
		for list := fields[i].Value; list != ""; {
			var token string
			token, list, _ = strings.Cut(list, ",")
			token = strings.Trim(token, " \t")
			for j := range fields {
				if token != "" && model.EqualFold(fields[j].Name, token) {
					fields[j].Dropped = true
				}
			}
		}
	}
}
