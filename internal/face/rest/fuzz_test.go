package rest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The segments of a path, put together again, are the path that net/url reads.
func FuzzPathsAreCutWhereTheyWereSent(f *testing.F) {
	for _, s := range []string{"/v2/users/a%2Fb", "/v2//x", "/%2e%2e/", "/a%ffb", "/v2/users/%E2%82%AC", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return
		}
		segments, err := split(u)
		if err != nil {
			return
		}
		if got := "/" + strings.Join(segments, "/"); got != u.Path {
			t.Fatalf("%q: %q, net/url says %q", path, got, u.Path)
		}
		if op, _, _ := find(table(), "GET", segments); op != nil && op.Open && u.EscapedPath() != op.Path && strings.Join(segments, "/") != op.Path[1:] {
			t.Fatalf("%q is served to strangers as %s", path, op.Path)
		}
	})
}

func table() []operation { return (&Handler{}).mount() }

// Of all origins, only the spellings of the host itself may write.
func FuzzNoOtherOriginWrites(f *testing.F) {
	for _, s := range []string{"http://example.com", "null", "http://example.com:80", "https://example.com", "http://example.com@evil", "http://example.com.", "//example.com", "http:example.com", "http://example.com#x"} {
		f.Add(s)
	}
	own := map[string]bool{"http://example.com": true, "http://example.com:80": true, "http://example.com.": true, "http://example.com.:80": true}
	f.Fuzz(func(t *testing.T, origin string) {
		r := httptest.NewRequest(http.MethodPost, "/v2/users", nil)
		r.Header["Origin"] = []string{origin}
		if sameOrigin(r) == nil && !own[strings.ToLower(origin)] {
			t.Fatalf("%q may write", origin)
		}
	})
}
