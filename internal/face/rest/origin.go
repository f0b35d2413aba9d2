package rest

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// sameOrigin refuses writes that a page of another origin had a browser send:
// an administrator's Basic credentials ride along unasked. Programs send neither
// field and pass.
func sameOrigin(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	refused := model.NewError(model.OriginRefused, "The admin API takes no writes from pages of another origin.")
	sites := r.Header.Values("Sec-Fetch-Site")
	own := len(sites) == 1 && sites[0] == "same-origin"
	if len(sites) > 0 && !own && !(len(sites) == 1 && sites[0] == "none") {
		return refused
	}
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) == 0:
		return nil
	case len(origins) > 1:
		return refused
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Host == "" || !strings.EqualFold(origins[0], u.Scheme+"://"+u.Host) {
		return refused // "null" among others
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	// Behind a front end that ends TLS the scheme differs; then the browser's own
	// word on the site decides, which no page can set.
	if u.Scheme != scheme && !own {
		return refused
	}
	if hostPort(u.Host, u.Scheme) != hostPort(r.Host, u.Scheme) {
		return refused
	}
	return nil
}

func hostPort(host, scheme string) string {
	host = strings.ToLower(host)
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.TrimSuffix(strings.TrimSuffix(host, port), ".")
}
