package login

import (
	"net/http"
	"testing"
)

// What basic takes, the standard library reads as the same name and password.
func FuzzBasicAgreesWithTheStandardLibrary(f *testing.F) {
	for _, s := range []string{"YWRtaW46c2VjcmV0", "YWRtaW4=", "Og==", "!", "YWRtaW46c2VjcmV0\n", "YTpiOmM="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		name, password, ok := basic(encoded)
		if !ok {
			return
		}
		r := http.Request{Header: http.Header{"Authorization": {"Basic " + encoded}}}
		if n, p, k := r.BasicAuth(); !k || n != name || p != password {
			t.Fatalf("%q: %q %q, net/http says %q %q %v", encoded, name, password, n, p, k)
		}
	})
}
