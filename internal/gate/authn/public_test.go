package authn

import (
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func TestOnlyNamesThatTheConfigurationGivesAreOurs(t *testing.T) {
	h := NewHosts("https://api.example.com:8443", []model.Route{{Hosts: []string{"Orders.example.com", "*.shop.example.com"}}, {}})
	for host, want := range map[string]bool{
		"api.example.com": true, "API.EXAMPLE.COM": true, "api.example.com.": true, "api.example.com:9": true, "orders.example.com": true,
		"a.shop.example.com": true, "a.b.shop.example.com": true, "shop.example.com": false, "ashop.example.com": false,
		"evil.com": false, "api.example.com.evil.com": false, "evilapi.example.com": false, "": false, ":443": false, ".": false, "[::1]": false,
	} {
		if h.Ours(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
	if (*Hosts)(nil).Ours("api.example.com") || NewHosts("", nil).Ours("") {
		t.Error("nobody's name is ours")
	}
}

func TestAnAuthorityIsWrittenInOneWay(t *testing.T) {
	for _, c := range [][3]string{
		{"https", "API.Example.com:443", "api.example.com"}, {"http", "api.example.com:80", "api.example.com"},
		{"https", "api.example.com:80", "api.example.com:80"}, {"https", "api.example.com:", "api.example.com"}, {"https", "[::1]:443", "[::1]"},
	} {
		if got := Authority(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s: %s", c[0], c[1], got)
		}
	}
}
