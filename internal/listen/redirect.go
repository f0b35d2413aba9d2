package listen

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Redirect answers every request with 308 to the same path under https. The host
// is the request's where known says that we serve it, else external's: a redirect
// to whatever a client wrote into Host would be anybody's to aim.
func Redirect(external *url.URL, known func(host string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.RequestURI
		if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || strings.ContainsAny(target, "\\#") {
			target = "/"
		}
		host := external.Host
		if h := hostOnly(r.Host); h != "" && !strings.EqualFold(h, external.Hostname()) && known != nil && known(h) {
			host = h
			if p := external.Port(); p != "" && p != "443" {
				host = net.JoinHostPort(h, p)
			}
		}
		h := w.Header()
		h.Set("Location", "https://"+host+target)
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Connection", "close")
		w.WriteHeader(http.StatusPermanentRedirect)
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte("This service speaks https.\n"))
		}
	})
}

func hostOnly(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		s = h
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		return ""
	}
	return s
}
