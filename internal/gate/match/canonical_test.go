package match

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
)

func TestParseTargetGivesTheOnePath(t *testing.T) {
	for _, c := range []struct {
		name, target, canonical, query string
	}{
		{"the root", "/", "/", ""},
		{"a plain path is itself", "/1.0/orders/7", "/1.0/orders/7", ""},
		{"a trailing slash is kept", "/a/", "/a/", ""},
		{"escaped unreserved characters are decoded", "/%61%2Db%5F%7Ec%2e%31", "/a-b_~c.1", ""},
		{"a tilde is a tilde", "/~user", "/~user", ""},
		{"UTF-8 names stay encoded, in upper case", "/caf%c3%a9/%F0%9F%9A%AA", "/caf%C3%A9/%F0%9F%9A%AA", ""},
		{"escaped reserved characters stay as they are", "/a%3Ab%40c%3fd%20e", "/a%3Ab%40c%3Fd%20e", ""},
		{"raw reserved characters stay as they are", "/a:b@c+d,e!f$g&h'i(j)*k=l", "/a:b@c+d,e!f$g&h'i(j)*k=l", ""},
		{"a semicolon in a segment without dots is fine", "/a;v=1/b.c", "/a;v=1/b.c", ""},
		{"an escaped semicolon beside dots is fine", "/a.b%3Bc", "/a.b%3Bc", ""},
		{"an escaped percent sign is fine", "/100%25/%2541/a%25zz", "/100%25/%2541/a%25zz", ""},
		{"a double-encoded dot that makes no dot segment is fine", "/file%252etxt", "/file%252etxt", ""},
		{"names of dots are names", "/.../.a/..b/c..", "/.../.a/..b/c..", ""},
		{"an encoded name of three dots is one", "/%2e%2E./a", "/.../a", ""},
		{"slashes are merged", "//a///b//", "/a/b/", ""},
		{"dot segments are removed", "/a/./b/../c", "/a/c", ""},
		{"a dot segment at the end leaves a slash", "/a/b/..", "/a/", ""},
		{"a single dot at the end leaves a slash", "/a/.", "/a/", ""},
		{"dot segments stop at the root", "/../../a", "/a", ""},
		{"dots go before slashes are merged", "/a//../b", "/a/b", ""},
		{"the query is not touched", "/a?b=%2e%2e/../\\;%zz?&c", "/a", "?b=%2e%2e/../\\;%zz?&c"},
		{"an empty query is kept", "/a?", "/a", "?"},
		{"an asterisk stands for itself", "*", "*", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParseTarget(c.target, nil)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if p.Canonical != c.canonical || p.Query != c.query || p.Ambiguous || p.Raw+p.Query != c.target {
				t.Errorf("got %+v, want canonical %q, query %q", p, c.canonical, c.query)
			}
		})
	}
}

// The rows are those of field/identity-proxies.md, section 3.
func TestParseTargetRefuses(t *testing.T) {
	const bad, unclear = model.RequestMalformed, model.PathAmbiguous
	for _, c := range []struct {
		name, target string
		code         model.Code
	}{
		{"nothing at all", "", bad},
		{"a target without a slash", "admin", bad},
		{"an absolute target, which doors reduce first", "http://a/b", bad},
		{"a fragment (row 4: GHSA-pxq7-h93f-9jrg, CVE-2021-32779)", "/admin#/public", bad},
		{"a fragment in the query (row 4)", "/admin?a#/public", bad},
		{"a space", "/a b", bad},
		{"a tab in the query", "/a?b\tc", bad},
		{"a line feed", "/a\n", bad},
		{"a carriage return in the query", "/a?\r", bad},
		{"a zero byte", "/a\x00", bad},
		{"a delete byte", "/a\x7f", bad},
		{"a raw byte that is not ASCII", "/caf\xc3\xa9", bad},
		{"a raw byte that is not ASCII in the query", "/a?\xff", bad},
		{"a percent sign at the end", "/a%", bad},
		{"half an escape", "/a%4", bad},
		{"an escape that is no hex", "/%zz", bad},
		{"a %u escape", "/%u002e%u002e/", bad},
		{"a raw backslash (row 18: GHSA-6jwx-7vp4-9847)", `/public\..\admin`, unclear},
		{"an encoded backslash (row 18: CVE-2025-66490)", "/public%5cadmin", unclear},
		{"a double-encoded backslash", "/public%255Cadmin", unclear},
		{"an encoded dot segment (row 14: CVE-2026-33494)", "/public/%2e%2e/admin", unclear},
		{"half an encoded dot segment (row 16: CVE-2019-9901)", "/public/.%2e/admin", unclear},
		{"the other half (row 16: CVE-2021-39206)", "/public/%2E./admin", unclear},
		{"an encoded single dot", "/public/%2e/admin", unclear},
		{"a double-encoded dot segment", "/public/%252e%252e/admin", unclear},
		{"a dot segment encoded four times over", "/public/%2525252e./admin", unclear},
		{"a dot segment whose escape is itself escaped", "/public/%25%32%65./admin", unclear},
		{"an encoded dot segment before a parameter (row 17)", "/a/%2e%2e;/admin", unclear},
		{"a dot segment before an encoded parameter (row 17)", "/a/..%3Bx/admin", unclear},
		{"an encoded dot segment behind an encoded slash", "/a%2f%2e%2e%2fadmin", unclear},
		{"an encoded zero byte", "/a%00.json", unclear},
		{"a double-encoded zero byte", "/a%2500", unclear},
		{"a double-encoded slash", "/a%252Fb", unclear},
		{"a double-encoded slash beside an encoded one", "/a%2Fb%252fc", unclear},
		{"an overlong dot", "/%c0%ae%c0%ae/admin", unclear},
		{"an overlong dot of three bytes", "/%e0%80%ae./admin", unclear},
		{"an overlong dot of four bytes", "/%f0%80%80%ae/", unclear},
		{"an overlong slash", "/a%c0%afb", unclear},
		{"an overlong dot whose second byte is no continuation", "/%c0%2e/", unclear},
		{"a double-encoded overlong dot", "/%25c0%25ae/", unclear},
		{"encoded bytes that are not UTF-8", "/caf%e9", unclear},
		{"an encoded surrogate", "/%ed%a0%80", unclear},
		{"an encoded byte that UTF-8 never has", "/%ff", unclear},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParseTarget(c.target, nil)
			if err == nil {
				t.Fatalf("passed as %+v", p)
			}
			if err.Code != c.code || err.Code.Status() != http.StatusBadRequest {
				t.Errorf("code %s, want %s", err.Code, c.code)
			}
		})
	}
}

func TestParseTargetMarksWhatOnlyAVerbatimRouteMayServe(t *testing.T) {
	for _, c := range []struct {
		target, form string
		dots         bool
	}{
		{"/a%2Fb", "/a%2Fb", false},
		{"/a%2fb/%63", "/a%2Fb/c", false},
		{"/x.json;v=1", "/x.json;v=1", false},
		{"/x;v=1.0", "/x;v=1.0", false},
		{"/x%2ejson;v=1", "/x.json;v=1", false},
		{"/a/..;/b", "/a/..;/b", true},
		{"/a/.;/b", "/a/.;/b", true},
		{"/a%2F..%2Fb", "/a%2F..%2Fb", true},
		{"/a/..%2fb", "/a/..%2Fb", true},
		{"/a/../b%2Fc", "/b%2Fc", true},
		{"/a%2F..;x=%2F", "/a%2F..;x=%2F", true},
	} {
		p, err := ParseTarget(c.target, nil)
		if err != nil {
			t.Errorf("%s refused: %v", c.target, err)
			continue
		}
		if !p.Ambiguous || p.Canonical != "" || p.form != c.form || p.dots != c.dots || p.Raw != c.target {
			t.Errorf("%s gave %+v", c.target, p)
		}
	}
}

func TestParseTargetUsesScratchAndAllocatesNothingForACanonicalPath(t *testing.T) {
	scratch := make([]byte, 0, 256)
	for _, c := range []struct {
		target  string
		scratch []byte
		allocs  float64
	}{
		{"/1.0/orders/7?x=1", nil, 0},
		{"/caf%C3%A9/a%20b", nil, 0},
		{"/a;v=1/b", nil, 0},
		{"/caf%c3%a9/./b", scratch, 0},
		{"//a/%7Euser", scratch, 0},
		{"/a%2fb", scratch, 0},
		{"//a", nil, 1},
	} {
		got := testing.AllocsPerRun(100, func() {
			if _, err := ParseTarget(c.target, c.scratch); err != nil {
				t.Fatal(err)
			}
		})
		if got != c.allocs {
			t.Errorf("%s: %v allocations, want %v", c.target, got, c.allocs)
		}
	}
}

func TestNestedEscapesCostOnePass(t *testing.T) {
	p, err := ParseTarget("/"+strings.Repeat("%25", 1)+strings.Repeat("25", 400_000)+"2e.", nil)
	if err == nil {
		t.Fatalf("passed as %d bytes", len(p.Canonical))
	}
}

// slowRead is a second reading of SPEC 7.1 and 7.2, plain and slow: it decodes
// layer by layer and looks at each layer.
func slowRead(target string) (canonical string, ambiguous bool, codes map[model.Code]bool) {
	codes = map[model.Code]bool{}
	if target == "*" {
		return "*", false, codes
	}
	if !strings.HasPrefix(target, "/") || regexp.MustCompile(`[^!-~]|#`).MatchString(target) {
		codes[model.RequestMalformed] = true
	}
	path, _, _ := strings.Cut(target, "?")
	if regexp.MustCompile(`%($|[^0-9A-Fa-f]|.$|.[^0-9A-Fa-f])`).MatchString(path) {
		codes[model.RequestMalformed] = true
	}
	unclear := strings.Contains(path, `\`)
	split := strings.Split(path, "/")[1:]
	if !strings.HasPrefix(path, "/") {
		return "", false, codes
	}
	for _, segment := range split {
		if segment == "." || segment == ".." {
			continue
		}
		layers := []string{segment}
		for {
			next := slowDecode(layers[len(layers)-1])
			if next == layers[len(layers)-1] {
				break
			}
			layers = append(layers, next)
		}
		plainDots := slowDots(regexp.MustCompile(`%2[Ff]`).ReplaceAllString(segment, "/"))
		for i, l := range layers {
			unclear = unclear || strings.ContainsAny(l, "\\\x00") || slowOverlong(l)
			unclear = unclear || i == 1 && !utf8.ValidString(l)
			unclear = unclear || i > 1 && strings.Count(l, "/") > strings.Count(layers[1], "/")
			unclear = unclear || slowDots(l) && !plainDots
		}
		if len(layers) > 1 {
			ambiguous = ambiguous || strings.Contains(layers[1], "/")
			ambiguous = ambiguous || strings.Contains(segment, ";") && strings.Contains(layers[1], ".")
		}
		ambiguous = ambiguous || strings.Contains(segment, ";") && strings.Contains(segment, ".") || plainDots
	}
	if unclear {
		codes[model.PathAmbiguous] = true
	}
	decoded := regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllStringFunc(path, func(e string) string {
		if d := slowDecode(e); regexp.MustCompile(`^[A-Za-z0-9._~-]$`).MatchString(d) {
			return d
		}
		return strings.ToUpper(e)
	})
	out := []string{}
	parts := strings.Split(decoded, "/")[1:]
	for i, s := range parts {
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if i == len(parts)-1 {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return regexp.MustCompile(`/+`).ReplaceAllString("/"+strings.Join(out, "/"), "/"), ambiguous, codes
}

func slowDecode(s string) string {
	return regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllStringFunc(s, func(e string) string {
		h := strings.Index("0123456789abcdef", strings.ToLower(e[1:2]))
		l := strings.Index("0123456789abcdef", strings.ToLower(e[2:3]))
		return string([]byte{byte(h*16 + l)})
	})
}

func slowDots(s string) bool {
	for _, piece := range strings.Split(s, "/") {
		piece, _, _ = strings.Cut(piece, ";")
		if piece == "." || piece == ".." {
			return true
		}
	}
	return false
}

func slowOverlong(s string) bool {
	for i := range len(s) {
		for n, lead := range []struct{ low, high, mask byte }{{0xc0, 0xdf, 0x1f}, {0xe0, 0xef, 0x0f}, {0xf0, 0xf7, 0x07}} {
			if s[i] < lead.low || s[i] > lead.high || i+n+1 >= len(s) {
				continue
			}
			v := int(s[i] & lead.mask)
			for k := 1; k <= n+1; k++ {
				v = v*64 + int(s[i+k]&0x3f)
			}
			if v < 128 {
				return true
			}
		}
	}
	return false
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"/", "*", "/a/b?c", "/a//../b/./", "/%2e%2e/", "/a%2Fb", "/a/..;/b", "/%252e%252e", "/%c0%ae", "/caf%c3%a9", "/%25%32%65.",
		`/a\b`, "/a#b", "/..%2f", "/x.y;z", "/a;b/c", "/a%2f..;x%2F", "/..%3b", "/%2%65", "/%00", "/%2500", "/a/..", "/.", "//", "/%5C", "/%e0%40%ae", "/.;/.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		p, err := ParseTarget(target, nil)
		want, unclear, codes := slowRead(target)
		if (err != nil) != (len(codes) > 0) || err != nil && !codes[err.Code] {
			t.Fatalf("%q: got %v, the second reading %v", target, err, codes)
		}
		if err != nil {
			return
		}
		if p.Ambiguous != unclear || p.matched() != want || p.Ambiguous != (p.Canonical == "") || p.Raw+p.Query != target {
			t.Fatalf("%q: got %+v, the second reading %q, ambiguous %v", target, p, want, unclear)
		}
		// Removing dot segments may remove the one that made a path ambiguous; nothing makes one so.
		again, err := ParseTarget(p.matched(), make([]byte, 0, 16))
		if err != nil || again.matched() != p.matched() || again.Ambiguous && !p.Ambiguous {
			t.Fatalf("%q: its canonical form %q reads as %+v, %v", target, p.matched(), again, err)
		}
		if with, err := ParseTarget(target, make([]byte, 0, len(target))); err != nil || with.matched() != p.matched() {
			t.Fatalf("%q: with scratch %+v, %v", target, with, err)
		}
	})
}

func BenchmarkParseTarget(b *testing.B) {
	for _, c := range []struct{ name, target string }{
		{"plain", "/1.0/orders/8c6f2a/items?page=2&size=50"},
		{"UTF-8", "/1.0/caf%C3%A9/items?page=2"},
		{"to be made canonical", "/1.0//caf%c3%a9/./%7Eitems"},
	} {
		b.Run(c.name, func(b *testing.B) {
			scratch := make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseTarget(c.target, scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
