package problem

import (
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// WantsHTML says whether the request is a browser's top-level navigation, which
// is answered by a page. Fetch, XHR, upgrades, images and API clients are not.
func WantsHTML(method string, fields []model.Field) bool {
	if method != "GET" && method != "HEAD" {
		return false
	}
	accept, mode, dest := "", "", ""
	for i := range fields {
		switch f := &fields[i]; {
		case model.EqualFold(f.Name, "Accept"):
			if accept != "" {
				accept += ","
			}
			accept += f.Value
		case model.EqualFold(f.Name, "Sec-Fetch-Mode"):
			mode = f.Value
		case model.EqualFold(f.Name, "Sec-Fetch-Dest"):
			dest = f.Value
		case model.EqualFold(f.Name, "Upgrade"), model.EqualFold(f.Name, "X-Requested-With"):
			return false
		}
	}
	if mode != "" && mode != "navigate" || dest != "" && dest != "document" && dest != "iframe" && dest != "frame" {
		return false
	}
	page := quality(accept, "text/html")
	return page > 0 && page > max(quality(accept, "application/json"), quality(accept, "application/problem+json"))
}

// SignIn is login where the request is a browser's top-level navigation, which is
// sent there; "" for everybody else, who could do nothing with it: fetch, XHR,
// frames, WebSockets and API clients get the refusal itself.
func SignIn(method string, fields []model.Field, login string) string {
	if login == "" || !WantsHTML(method, fields) {
		return ""
	}
	for i := range fields {
		if f := &fields[i]; model.EqualFold(f.Name, "Sec-Fetch-Dest") && f.Value != "document" {
			return ""
		}
	}
	return login
}

// quality is the weight that an Accept value gives to a type that it names
// (RFC 9110, 12.5.1), in thousandths; wildcards are not wishes.
func quality(accept, mediaType string) int {
	for accept != "" {
		var item string
		item, accept, _ = strings.Cut(accept, ",")
		name, params, _ := strings.Cut(item, ";")
		if !strings.EqualFold(strings.TrimSpace(name), mediaType) {
			continue
		}
		for params != "" {
			var p string
			p, params, _ = strings.Cut(params, ";")
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			if strings.EqualFold(k, "q") {
				q, err := strconv.ParseFloat(v, 64)
				if err != nil || !(q >= 0 && q <= 1) {
					return 0
				}
				return int(q * 1000)
			}
		}
		return 1000
	}
	return 0
}
