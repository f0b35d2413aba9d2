//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nginx starts nginx on a configuration's server block. It listens at url, and
// serves the files below root.
func nginx(t testing.TB, server string) (url, root string) {
	t.Helper()
	dir := t.TempDir()
	root = filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir), root} {
		_ = os.Chmod(d, 0o777) // its workers may run as somebody else
	}
	address := freeAddress(t)
	conf := fmt.Sprintf(`
daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log warn; master_process off;
events { worker_connections 512; }
http {
  access_log %[1]s/access.log;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  types { text/html html; text/css css; } default_type application/octet-stream;
  sendfile on; keepalive_requests 100000;
  server { listen %[2]s; root %[3]s; client_max_body_size 0; %[4]s }
}`, dir, address, root, server)
	p := launch(t, dir, nil, need(t, "nginx"), "-p", dir, "-c", write(t, filepath.Join(dir, "nginx.conf"), conf))
	p.listens(address)
	return "http://" + address, root
}

const files = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: files, targets: [{url: "BACKEND"}], timeouts: {response: 2m}}]
roles:
  - {name: read-only, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
users:
  - {username: alice, roles: [writer], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [read-only], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: files, paths: [/files], service: files, bodyBytes: 0, rewrite: {stripPrefix: /files}}
  - {name: small, paths: [/small], service: files, rewrite: {stripPrefix: /small}}
`

func TestNginxServesFilesThroughTheGateway(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		url, root := nginx(t, "location / { dav_methods PUT DELETE; create_full_put_path on; autoindex on; gzip on; gzip_proxied any; gzip_types text/css; gzip_min_length 10; }")
		g := start(t, options{engine: engine, resources: withBackend(files, url)})
		page := strings.Repeat("<p>Sally</p>\n", 5000)
		write(t, filepath.Join(root, "index.html"), page)
		write(t, filepath.Join(root, "style.css"), strings.Repeat("p { color: navy }\n", 100))
		_ = os.Chmod(filepath.Join(root, "index.html"), 0o644)
		for name, c := range g.clients() {
			at := func(method, path string, body string, mods ...mod) *answer {
				t.Helper()
				a, err := exchange(c, method, g.url(path), body, mods...)
				if err != nil {
					t.Fatalf("%s: %s %s: %v", name, method, path, err)
				}
				return a
			}
			a := at("GET", "/files/index.html", "", user("bob"))
			if a.status != 200 || a.body != page || a.header.Get("Content-Type") != "text/html" || a.header.Get("Etag") == "" {
				t.Errorf("%s: %d, %d bytes, %v", name, a.status, len(a.body), a.header)
			}
			if r := at("GET", "/files/index.html", "", user("bob"), header("Range", "bytes=3-7")); r.status != 206 || r.body != page[3:8] {
				t.Errorf("%s: a range: %d %q", name, r.status, r.body)
			}
			if r := at("GET", "/files/index.html", "", user("bob"), header("Range", "bytes=0-1,5-6")); r.status != 206 || !strings.HasPrefix(r.header.Get("Content-Type"), "multipart/byteranges") {
				t.Errorf("%s: two ranges: %d %v", name, r.status, r.header)
			}
			if r := at("GET", "/files/index.html", "", user("bob"), header("Range", "bytes=9999999-")); r.status != 416 {
				t.Errorf("%s: a range behind the end: %d", name, r.status)
			}
			if r := at("GET", "/files/index.html", "", user("bob"), header("If-None-Match", a.header.Get("Etag"))); r.status != 304 || r.body != "" || r.header.Get("Etag") == "" {
				t.Errorf("%s: not modified: %d %v", name, r.status, r.header)
			}
			if r := at("HEAD", "/files/index.html", "", user("bob")); r.status != 200 || r.header.Get("Content-Length") != fmt.Sprint(len(page)) {
				t.Errorf("%s: HEAD: %d %v", name, r.status, r.header)
			}
			if r := at("GET", "/files/style.css", "", user("bob"), header("Accept-Encoding", "gzip")); r.header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(r.body, "\x1f\x8b") {
				t.Errorf("%s: nginx compresses, and the gateway leaves that alone: %v", name, r.header)
			}
			if r := at("GET", "/files/no-such-file", "", user("bob")); r.status != 404 || r.header.Get("Proxy-Status") != "" || !strings.Contains(r.body, "nginx") {
				t.Errorf("%s: nginx's own 404: %d %v %s", name, r.status, r.header, r.body)
			}
			at("PUT", "/files/made/by/bob", "x", user("bob")).expect(t, name+": bob writes", 403, "permission_denied")
			if r := at("PUT", "/files/made/by/alice", "hello", user("alice")); r.status != 201 && r.status != 204 {
				t.Errorf("%s: alice writes: %d", name, r.status)
			}
			if s := read(t, filepath.Join(root, "made", "by", "alice")); s != "hello" {
				t.Errorf("%s: written %q", name, s)
			}
			at("PUT", "/small/too-large", strings.Repeat("x", 10<<20+1), user("alice")).expect(t, name+": a body over the limit", 413, "body_too_large")
			if r := at("PUT", "/small/fits", strings.Repeat("x", 10<<20), user("alice")); r.status/100 != 2 {
				t.Errorf("%s: a body at the limit: %d %s", name, r.status, r.body)
			}
			if r, err := c.Do(streamed(t, "PUT", g.url("/small/too-large-chunked"), io.LimitReader(noughts{}, 10<<20+1))); err == nil {
				if _ = r.Body.Close(); r.StatusCode != 413 {
					t.Errorf("%s: a chunked body over the limit: %d", name, r.StatusCode)
				}
			} else {
				t.Logf("%s: a chunked body over the limit: %v", name, err)
			}
			for _, f := range []string{"too-large", "too-large-chunked"} {
				if _, err := os.Stat(filepath.Join(root, f)); err == nil {
					t.Errorf("%s: %s is there", name, f)
				}
			}
		}
	})
}

type noughts struct{}

func (noughts) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// streamed is alice's request with a body of unknown length.
func streamed(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	user("alice")(req)
	return req
}

// noise is a body that does not compress and is the same for the same seed.
func noise(seed uint64, size int64) io.Reader {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

func TestAGibibyteUpAndDownTakesTheGatewayLessThan100MiB(t *testing.T) {
	const size = 1 << 30
	eachEngine(t, func(t *testing.T, engine string) {
		url, root := nginx(t, "location / { dav_methods PUT; client_body_buffer_size 64k; }")
		g := start(t, options{engine: engine, resources: withBackend(files, url)})
		g.client.Timeout, g.h2.Timeout = 5*time.Minute, 5*time.Minute
		// Sparse, so that the disk holds nothing but its name.
		sparse := filepath.Join(root, "sparse")
		write(t, sparse, "")
		if err := os.Truncate(sparse, size); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(sparse, 0o644)
		for name, c := range g.clients() {
			if name == "HTTP/2" && engine != "own" {
				continue // the engines of HTTP/1.1 share it
			}
			begin := time.Now()
			req, _ := http.NewRequest("GET", g.url("/files/sparse"), nil)
			user("bob")(req)
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if err != nil || n != size {
				t.Errorf("%s down: %d bytes, %v", name, n, err)
			}
			t.Logf("%s down: %v", name, time.Since(begin).Round(time.Millisecond))

			begin = time.Now()
			up := filepath.Join(root, "up")
			sent := sha256.New()
			put, _ := http.NewRequest("PUT", g.url("/files/up"), io.TeeReader(noise(1, size), sent))
			put.ContentLength = size
			if name == "HTTP/2" {
				put.ContentLength = -1
			}
			user("alice")(put)
			res, err = c.Do(put)
			if err != nil {
				t.Fatalf("%s up: %v", name, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode/100 != 2 {
				t.Errorf("%s up: %d", name, res.StatusCode)
			}
			if got := hashOf(t, sha256.New(), up); got != hex.EncodeToString(sent.Sum(nil)) {
				t.Errorf("%s: what nginx stored is not what was sent", name)
			}
			_ = os.Remove(up)
			t.Logf("%s up: %v", name, time.Since(begin).Round(time.Millisecond))
		}
		u := usageOf(t, g.pid())
		t.Logf("peak %d MiB, %v of processor time", u.peak>>20, u.cpu)
		if u.peak > 100<<20 {
			t.Errorf("the gateway's memory reached %d MiB", u.peak>>20)
		}
	})
}

func hashOf(t testing.TB, h hash.Hash, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = f.Close() }()
	if _, err := io.Copy(h, f); err != nil {
		t.Error(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
