package standard

import (
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// slowHost reads a host again, by expression and by the standard library.
func slowHost(s string) bool {
	m := regexp.MustCompile(`^(?:\[([0-9a-fA-F:.]*)\]|([0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*\.?))(?::([0-9]{1,5}))?$`).FindStringSubmatch(s)
	if m == nil || len(m[2]) > 254 {
		return false
	}
	if m[1] != "" || strings.HasPrefix(s, "[") {
		if a, err := netip.ParseAddr(m[1]); err != nil || !a.Is6() {
			return false
		}
	}
	if strings.Contains(strings.TrimPrefix(s, "["+m[1]+"]"), ":") {
		n, err := strconv.Atoi(m[3])
		return err == nil && n > 0 && n < 65536
	}
	return true
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"x", "a.example.com:8443", "[::1]", "[::1]:80", "a..b", ".a", "a.", "x:", "x:0", "x:65536", "x:00080", "u@x", "[::1]x", "[::1", "[:]", "[]", "[1.2.3.4]", "[:0]", "[fe80::1%25x]", "é", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if fast, slow := validHost(s), slowHost(s); fast != slow {
			t.Errorf("%q: %v, read slowly %v", s, fast, slow)
		}
	})
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "/a?b", "http://x/a", "http://x", "http://x?q", "https://X:1/", "*", "x:443", "/#", "//x/y", "http://u@x/", "ftp://x/", "/\x00", "/é"} {
		f.Add(s, "x", "GET")
	}
	f.Fuzz(func(t *testing.T, target, host, method string) {
		r := &http.Request{Method: method, RequestURI: target, Host: host, ProtoMajor: 1}
		got, fault := originForm(r)
		if !strings.HasPrefix(got, "/") {
			t.Fatalf("%q gives %q", target, got)
		}
		if fault != "" {
			return
		}
		for i := 0; i < len(target); i++ {
			if target[i] <= ' ' || target[i] >= 0x7f || target[i] == '#' {
				t.Fatalf("%q passed", target)
			}
		}
		// What is forwarded is a tail of what came, byte for byte, but for a path
		// that was left out.
		if !strings.HasSuffix(target, strings.TrimPrefix(got, "/")) {
			t.Fatalf("%q became %q", target, got)
		}
		if !strings.HasPrefix(target, "/") {
			_, rest, _ := strings.Cut(target, "://")
			if len(rest) < len(host) || !strings.EqualFold(rest[:len(host)], host) {
				t.Fatalf("%q agrees with %q", target, host)
			}
		}
	})
}
