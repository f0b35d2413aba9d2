package listen

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzLists holds revocation lists against the standard library, read one by one.
func FuzzLists(f *testing.F) {
	ca := newAuthority(f, "ca")
	good := ca.crl(time.Now().Add(time.Hour), 1, 2)
	f.Add(good)
	f.Add(append(good, good...))
	b, _ := pem.Decode(good)
	f.Add(b.Bytes)
	f.Add([]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"))
	f.Add(ca.pem())
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := readLists(data)
		if err != nil {
			return
		}
		n := 0
		if bytes.Contains(data, []byte("-----BEGIN")) {
			for rest := data; ; n++ {
				var b *pem.Block
				for b, rest = pem.Decode(rest); b != nil && b.Type != "X509 CRL"; b, rest = pem.Decode(rest) {
				}
				if b == nil {
					break
				}
			}
		} else if _, err := x509.ParseRevocationList(data); err == nil {
			n = 1
		}
		if len(lists) != n {
			t.Errorf("%d lists, read slowly %d", len(lists), n)
		}
	})
}

// FuzzRedirect: whatever comes in, the answer leads to a host of ours.
func FuzzRedirect(f *testing.F) {
	f.Add("api.example.com", "/a")
	f.Add("evil@api.example.com", "//evil")
	f.Add("other.example.com:1", `/\evil`)
	ext, _ := url.Parse("https://api.example.com")
	h := Redirect(ext, func(host string) bool { return host == "other.example.com" })
	f.Fuzz(func(t *testing.T, host, target string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.RequestURI = host, target
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header().Get("Location")
		rest, ok := strings.CutPrefix(got, "https://api.example.com/")
		if !ok {
			rest, ok = strings.CutPrefix(got, "https://other.example.com/")
		}
		if !ok || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "\\") {
			t.Errorf("%q %q leads to %q", host, target, got)
		}
	})
}
