//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Each witness has a host of its own, on which /public and /raw are open and /admin
// is closed, and one on which all but /admin is open.
const grounds = `
settings: {reverseProxyAuthentication: {enabled: true}}
roles: [{name: reader, permissions: [{routes: ["*"], methods: ["*"]}]}]
users: [{username: alice, roles: [reader], credentials: [{type: password, password: alices-password}]}]
`

const topSecret = "TOP SECRET\n"

// site is a folder with open and closed files.
func site(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(openFolder(t), "root")
	for name, text := range map[string]string{"public/ok.txt": "open\n", "public/x/ok.txt": "open\n", "public/x/y/ok.txt": "open\n", "raw/ok.txt": "open\n", "raw/x/ok.txt": "open\n", "raw/a b.txt": "open\n", "public/été.txt": "open\n", "admin/secret.txt": topSecret, "admin/index.html": topSecret} {
		write(t, filepath.Join(dir, name), text)
	}
	err := filepath.Walk(dir, func(p string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.IsDir() {
			return os.Chmod(p, 0o755)
		}
		return os.Chmod(p, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func fenced(t testing.TB, engine string, all []*witness) *gateway {
	t.Helper()
	doc := grounds + "services:\n"
	for _, w := range all {
		doc += fmt.Sprintf("  - {name: %s, targets: [{url: %q}]}\n", w.name, w.URL)
	}
	doc += "routes:\n"
	for _, w := range all {
		for _, r := range []string{
			"{name: public-%[1]s, hosts: [%[1]s.example], paths: [/public], access: public, service: %[1]s}",
			"{name: raw-%[1]s, hosts: [%[1]s.example], paths: [/raw], access: public, path: verbatim, service: %[1]s}",
			"{name: admin-%[1]s, hosts: [%[1]s.example], paths: [/admin], service: %[1]s}",
			"{name: all-%[1]s, hosts: [all.%[1]s.example], paths: [/], access: public, service: %[1]s}",
			"{name: most-%[1]s, hosts: [all.%[1]s.example], paths: [/admin], service: %[1]s}",
			"{name: every-%[1]s, hosts: [\"*.every.%[1]s.example\"], paths: [/], access: public, service: %[1]s}",
			"{name: one-%[1]s, hosts: [one.every.%[1]s.example], paths: [/], service: %[1]s}",
		} {
			doc += "  - " + fmt.Sprintf(r, w.name) + "\n"
		}
	}
	return start(t, options{engine: engine, plain: true, resources: doc})
}

// traversals are ways to write a path from an open prefix to the closed one.
func traversals() (out []string) {
	dots := []string{"..", "%2e%2e", "%2E%2E", "%2E.", ".%2e", "..;", "..;x=1", "%2e%2e;", "%2e%2e;a", "..%00", "%00..", "..%20", "..%09", "...", "....", "%252e%252e", "%25%32%65%25%32%65", "%2%65%2%65", "..%c0%af", "%c0%ae%c0%ae", "%c0%2e%c0%2e", "%e0%80%ae%e0%80%ae", "%f0%80%80%ae%f0%80%80%ae",
		"%uff0e%uff0e", "%u002e%u002e", "..%5c", "..\\", "%2e%2e%5c", "%2e%2e\\", "..%255c", ".%00.", "..%3b", "%2e%2e%3b", "..%23", "..%3f", "..#", "..?", "%ff%2e%2e", "%ef%bc%8e%ef%bc%8e", ".%e2%80%8b.", "..%0d%0a", "..%01", ".%0d.", "..%ef%bb%bf", "..%a0", "%2e%2e%2f%2e%2e", "..%2f..", "..%2F", "./..", ".;/..", "%2e/%2e%2e", "..%252f"}
	slashes := []string{"/", "//", "%2f", "%2F", "/./", "\\", "%5c", "%5C", "%252f", "/%2f", ";/", "/;/", "%c0%af", "%e0%80%af", "%25%32%66", "/%00/", "%2f%2f", "/%2e/"}
	for i, start := range []string{"/public", "/raw", "/public/x", "/raw/x"} {
		for _, d := range dots {
			for _, s := range slashes {
				up := strings.Repeat(s+d, 1+i/2)
				out = append(out, start+up+s+"admin/secret.txt")
				if i < 2 {
					out = append(out, start+"/"+d+s+"admin/secret.txt")
				}
			}
		}
	}
	return out
}

// entrances are ways to write the closed path itself. The letters of a name encoded
// twice are not among them: %2561 is the text %61, to all who read it once.
func entrances() (out []string) {
	for _, a := range []string{"admin", "%61dmin", "adm%69n", "%61%64%6d%69%6e", "%61%64%6D%69%6E", "ADMIN", "Admin", "%41dmin", "admin;", "admin;x", "admin;x=1", "admin%3b", "admin%3bx", "admin%00", "%00admin", "admin%20", "admin.", "admin%2e", "admin..", "admin%09", "admin%0a", "admin%ff", "admin%c0%80", "admin%23", "admin%3f", "admin#", "%u0061dmin", "a%64min%5c"} {
		for _, s := range []string{"/", "//", "///", "/./", "/.//", "/;/", "/.;/", "/%2e/", "/%2E//", "\\", "/\\", "%5c", "/%5c", "%2f", "/%2f", "/%2F/", "/x/../", "/x/%2e%2e/", "/x/..;/", "/public/../", "/public/..//", "/%00/", "/%20/", "/%09/", "/%0d%0a/", "/?/", "/#/", "/%3f/../", "/%ef%bb%bf/../"} {
			out = append(out, s+a+"/secret.txt", s+a, s+a+"%2fsecret.txt", s+a+"\\secret.txt", s+a+"//secret.txt")
		}
	}
	return out
}

// shut says whether a path that a witness took a request for is a closed one.
func shut(p string) bool {
	p = path.Clean("/" + p)
	return p == "/admin" || strings.HasPrefix(p, "/admin/")
}

func TestNoSpellingReachesAClosedFolderOfARealServer(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		root := site(t)
		all := witnesses(t, root)
		g := fenced(t, engine, all)
		n := 0
		tries := func(host string, list []string, forms ...string) {
			for i, w := range all {
				var mine []string
				for j, s := range list { // a fourth of them each, or all
					if soak() || j%len(all) == i {
						mine = append(mine, s)
					}
				}
				for _, form := range forms {
					n += len(mine)
					roam(t, g, w, root, fmt.Sprintf(host, w.name), form, mine)
				}
			}
		}
		tries("%s.example", traversals(), "")
		tries("all.%s.example", entrances(), "")
		tries("all.%s.example", entrances()[:400], "http://")
		tries("%s.example", traversals()[:400], "https://")
		if n < 2247 {
			t.Errorf("only %d spellings", n)
		}
		t.Logf("%d requests, of %d ways to come from an open folder and %d ways to write the closed one", n, len(traversals()), len(entrances()))
		// The closed folder is there, for who may see it; the open one for everybody.
		for _, w := range all {
			h := header("Host", w.name+".example")
			if a := g.get(t, "alice", "/admin/secret.txt", h); a.status != 200 || a.body != topSecret {
				t.Errorf("%s: alice gets %d %q", w.name, a.status, a.body)
			}
			g.get(t, "", "/admin/secret.txt", h).expect(t, "nobody at "+w.name, 401, "credential_missing")
			for _, p := range []string{"/public/ok.txt", "/raw/ok.txt", "/public/x/../ok.txt", "/public//ok.txt", "/public/%6fk.txt", "/raw/a%20b.txt", "/public/%C3%A9t%C3%A9.txt"} {
				if a := g.get(t, "", p, h); a.status != 200 || a.body != "open\n" {
					t.Errorf("%s: %s: %d %q", w.name, p, a.status, tail(a.body, 100))
				}
			}
		}
	})
}

// roam sends each target to one witness without a credential, and looks at what it
// answered and at what it wrote down.
func roam(t *testing.T, g *gateway, w *witness, root, host, form string, targets []string) {
	t.Helper()
	before := len(w.saw(t))
	statuses := map[int]int{}
	var c *wire
	for _, target := range targets {
		if form != "" {
			target = form + host + target
		}
		if c == nil {
			c = g.wire(t)
		}
		c.send("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		a, err := c.tryAnswer("GET")
		if err != nil {
			t.Errorf("%s: %q: %v", w.name, target, err)
			c = nil
			continue
		}
		statuses[a.status]++
		if a.status/100 == 5 && a.header.Get("Proxy-Status") != "" {
			t.Errorf("%s: %q: %d %s", w.name, target, a.status, a.body)
		}
		if strings.Contains(a.body, "SECRET") || strings.Contains(a.body, "secret.txt") && a.status == 200 {
			t.Errorf("%s served the closed folder for %q: %d %s", w.name, target, a.status, a.body)
		}
		if a.status == 400 || strings.EqualFold(a.header.Get("Connection"), "close") {
			_ = c.Close()
			c = nil
		}
	}
	if c != nil {
		_ = c.Close()
	}
	until(t, stretched(5e9), w.name+" has written down what it answered", func() bool {
		return len(w.saw(t))-before >= statuses[200]
	})
	for _, s := range w.saw(t)[before:] {
		file, _ := strings.CutPrefix(s.file, root)
		for _, p := range append(s.paths, file) {
			if shut(p) {
				t.Errorf("%s took %q for %s", w.name, s.line, p)
				break
			}
		}
	}
	t.Logf("%s, %s: %d targets, by status %v", host, form, len(targets), statuses)
	if statuses[400] == 0 {
		t.Errorf("statuses %v", statuses)
	}
}

// A host in another spelling is the same host: its routes hold, and not those of a
// wildcard beside it.
func TestNoSpellingOfAHostReachesAnotherHostsRoutes(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		all := witnesses(t, site(t))
		g := fenced(t, engine, all)
		for _, w := range all {
			name := "one.every." + w.name + ".example"
			before := len(w.saw(t))
			for _, host := range []string{name, strings.ToUpper(name), "One." + name[4:], name + ".", name + ":80", name + ":443", name + ":8443", name + ".:80", name + ".:65535", name + "..", name + "...:80", name + ":", name + ".:", name + ":0", name + ":080", name + ":00000000080", name + ":99999", name + ":-1", name + ":+80", name + ":8 0",
				name + ":80:80", name + ":http", " " + name, name + " ", "\t" + name + "\t", name + "\x00", name + "\x00.evil", name + "\v", name + "%2e", strings.Replace(name, "one", "%6fne", 1), strings.Replace(name, ".", "%2e", 1), strings.Replace(name, ".", "。", 1), strings.Replace(name, "one", "ｏｎｅ", 1), strings.Replace(name, "one", "o\u212ane", 1),
				"x@" + name, "x:y@" + name, name + "@x", name + "/", name + "/x", name + "?x", name + "#x", name + "\\x", name + ",x.every." + w.name + ".example", "x.every." + w.name + ".example," + name, name + ";x", "[" + name + "]", "\"" + name + "\"", "." + name, "..." + name, "http://" + name, "//" + name, name + "\xff", name + "\u00ad", strings.Replace(name, "one.", "one\u200b.", 1), strings.Replace(name, "one.", "one..", 1)} {
				for _, target := range []string{"/public/ok.txt", "http://" + strings.TrimSpace(host) + "/public/ok.txt", "//" + strings.TrimSpace(host) + "/public/ok.txt"} {
					c := g.wire(t)
					c.send("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
					a, err := c.tryAnswer("GET")
					_ = c.Close()
					if err == nil && (a.status < 400 || a.status >= 500) {
						t.Errorf("%s: Host %q, target %q: %d", w.name, host, target, a.status)
					}
				}
				// The absolute form with this host, beside a Host that is another's.
				c := g.wire(t)
				c.send("GET http://" + strings.TrimSpace(host) + "/public/ok.txt HTTP/1.1\r\nHost: x.every." + w.name + ".example\r\nConnection: close\r\n\r\n")
				if a, err := c.tryAnswer("GET"); err == nil && a.status < 400 {
					t.Errorf("%s: absolute form with %q: %d", w.name, host, a.status)
				}
				_ = c.Close()
				c = g.wire(t)
				c.send("GET http://x.every." + w.name + ".example/public/ok.txt HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
				if a, err := c.tryAnswer("GET"); err == nil && a.status < 400 && engine == "own" { // net/http believes the target, and drops Host (RFC 9112, 3.2.2)
					t.Errorf("%s: absolute form beside %q: %d", w.name, host, a.status)
				}
				_ = c.Close()
			}
			if engine == "own" {
				for _, s := range w.saw(t)[before:] {
					t.Errorf("%s saw %+v", w.name, s)
				}
			}
			if a := g.get(t, "", "/public/ok.txt", header("Host", "x.every."+w.name+".example")); a.status != 200 {
				t.Errorf("the wildcard beside it: %d", a.status)
			}
			authorization := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("alice:alices-password")) + "\r\n"
			for _, host := range []string{name, strings.ToUpper(name), name + ".", name + ":80", name + ".:8443"} {
				c := g.wire(t)
				c.send("GET /public/ok.txt HTTP/1.1\r\nHost: " + host + "\r\n" + authorization + "\r\n")
				if a := c.answer(t, "GET"); a.status != 200 {
					t.Errorf("%s: alice at %q: %d", w.name, host, a.status)
				}
				_ = c.Close()
			}
		}
	})
}
