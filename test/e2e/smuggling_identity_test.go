//go:build e2e

package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// disguises are ways to write X-User so that some backend reads it as X-User: as
// it is, in other letters, or in any of the bytes that CGI, WSGI, Rack, PHP and
// nginx's variables fold into one; and those that a strict reader refuses.
func disguises() (out []pair) {
	for _, n := range []string{"X-User", "x-user", "X-USER", "x-User", "X-user", "xUSER", "X_User", "x_user", "X_USER", "X.User", "x.user", "X--User", "X__User", "X-_User", "X_-User", "X-User-", "X-User_", "X-User.", "-X-User", "_X-User", ".X-User", "X-User--", "XUser", "XUSER", "xuser", "X-U-ser", "X_U_S_E_R",
		"HTTP_X_USER", "HTTP-X-USER", "Http-X-User", "http_x_user", "HTTP.X.USER", "HTTPXUSER", "HTTP_X-USER", "HTTP__X_USER", "http-x_user", "_HTTP_X_USER", "HTTP-HTTP-X-USER"} {
		out = append(out, pair{n, mark})
	}
	for _, c := range "!#$%&'*+-.^_`|~0" { // all that a token may hold beside letters
		if c != '0' {
			out = append(out, pair{"X" + string(c) + "User", mark}, pair{"X-User" + string(c), mark}, pair{string(c) + "X-User", mark})
		}
	}
	for _, n := range []string{"X-User ", "X-User\t", " X-User", "\tX-User", "X-User\x00", "\x00X-User", "X\x00-User", "X-User\v", "X-User\r", "X-User\xa0", "X User", "X\tUser", "X/User", "X(User)", "\"X-User\"", "[X-User]", "X-User:", ":X-User", "X,User", "X;User", "X=User", "X@User", "X\\User", "{X-User}", "X-\xd5\xbaser", "\xef\xbb\xbfX-User", "X\xe2\x80\x90User", "X-User\x85", "Х-User"} {
		out = append(out, pair{n, mark})
	}
	return out
}

// costumes are whole lines that hide the field in another.
func costumes() []string {
	return []string{
		"X-A: b\nX-User: MARK", "X-A: b\rX-User: MARK", "X-A: b\r\r\nX-User: MARK", "X-A: b\n\rX-User: MARK", "X-A: b\x00\r\nX-User: MARK", "X-A: b\r\n X-User: MARK", "X-A: b\r\n\tX-User: MARK", "X-A:\r\n X-User: MARK", "X-User:\r\n MARK", "X-User:\r\n\tMARK", "X-User\r\n : MARK", "X-A: b\x85X-User: MARK", "X-A: b\xe5\x98\x8d\xe5\x98\x8aX-User: MARK",
		"X-User: alice\r\nX-User: MARK", "X-User: MARK\r\nX-User: alice", "X-User:\r\nX-User: MARK", "X-User: alice, MARK", "x-user: MARK\r\nX_USER: MARK\r\nX-User: MARK", "X-User:MARK", "X-User:\tMARK", "X-User: \t MARK \t ",
		"Connection: X-User\r\nX-User: MARK", "Connection: close, X-User\r\nX_User: MARK", "Connection: x_user\r\nx_user: MARK", "Connection: X-Request-Id, X-User, X-User-Id\r\nX.User: MARK", "Proxy-Connection: X-User\r\nX-User: MARK", "Keep-Alive: X-User\r\nX-User: MARK",
		"TE: trailers\r\nTrailer: X-User\r\nConnection: TE\r\nX-User: MARK", "Upgrade: x\r\nConnection: upgrade\r\nX-User: MARK", "Expect: 100-continue\r\nX-User: MARK", "X-Http-Method-Override: GET\r\nX-User: MARK", "X-Forwarded-User: MARK", "X-Original-User: MARK", "Remote-User: MARK", "REMOTE_USER: MARK", "Http-Remote-User: MARK", "X-Sallyport-Assertion: MARK", "x_sallyport_assertion: MARK",
	}
}

// fieldLines are all of them, as HTTP/1.1 writes them.
func fieldLines() (out []string) {
	for _, d := range disguises() {
		out = append(out, d.name+": "+d.value)
	}
	for _, c := range costumes() {
		out = append(out, strings.ReplaceAll(c, "MARK", mark))
	}
	return out
}

// owned says whether a name, folded as far as any backend folds, is one of the
// gateway's (SPEC 7.3).
func owned(name string) bool {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		}
	}
	n := b.String()
	for strings.HasPrefix(n, "http") {
		n = n[4:]
	}
	for _, p := range []string{"xuser", "xsallyport", "xforwardeduser", "xoriginaluser", "remoteuser"} {
		if strings.HasPrefix(n, p) {
			return true
		}
	}
	return false
}

const stage = `
settings: {reverseProxyAuthentication: {enabled: true}}
roles: [{name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}]
users: [{username: alice, roles: [writer], credentials: [{type: password, password: alices-password}]}]
`

// cgi is Apache running a shell script that prints its environment: no folding of
// names is more real.
func cgi(t testing.TB) *witness {
	t.Helper()
	dir, address := openFolder(t), freeAddress(t)
	script := write(t, filepath.Join(dir, "cgi", "env"), "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv\n")
	for _, p := range []string{filepath.Dir(script), script} {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := apache(t, dir, address, fmt.Sprintf("LogFormat \"%%{X-Request-Id}i\\t%%m\\t%%r\\t%%U\\t%%f\\t%%>s\" seen\nCustomLog access.log seen\nScriptAliasMatch \"^.*\" \"%s\"\n<Directory %q>\n  Options +ExecCGI\n</Directory>\n", script, filepath.Dir(script)))
	p.listens(address)
	return &witness{"cgi", "http://" + address, filepath.Join(dir, "access.log")}
}

// mapped is nginx, whose $http_ variables fold names as well.
func mapped(t testing.TB) *witness {
	t.Helper()
	dir, address := openFolder(t), freeAddress(t)
	conf := fmt.Sprintf(`
daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log error;
events { worker_connections 256; }
http {
  log_format seen '$http_x_request_id	$request_method	$request	$uri	-	$status';
  access_log %[1]s/access.log seen;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  underscores_in_headers on; ignore_invalid_headers off; large_client_header_buffers 8 64k;
  server { listen %[2]s; location / { return 200 "HTTP_X_USER=$http_x_user\nHTTP_X_USER_ID=$http_x_user_id\nHTTP_REMOTE_USER=$http_remote_user\nHTTP_X_FORWARDED_USER=$http_x_forwarded_user\nHTTP_X_ORIGINAL_USER=$http_x_original_user\nHTTP_X_SALLYPORT_ASSERTION=$http_x_sallyport_assertion\n"; } }
}`, dir, address)
	p := launch(t, dir, nil, need(t, "nginx"), "-p", dir, "-c", write(t, filepath.Join(dir, "nginx.conf"), conf))
	p.listens(address)
	return &witness{"mapped", "http://" + address, filepath.Join(dir, "access.log")}
}

// impersonated looks for the mark in what a backend says that it was told.
func impersonated(w *witness, a *answer, user string) string {
	switch w.name {
	case "node", "lenient":
		var e echoed
		if err := json.Unmarshal([]byte(a.body), &e); err != nil {
			return fmt.Sprintf("%v: %s", err, tail(a.body, 200))
		}
		for i := 0; i+1 < len(e.RawHeaders); i += 2 {
			if owned(e.RawHeaders[i]) && strings.Contains(e.RawHeaders[i+1], mark) {
				return fmt.Sprintf("%q: %q", e.RawHeaders[i], e.RawHeaders[i+1])
			}
		}
		for i := 0; i+1 < len(e.RawTrailers); i += 2 {
			if owned(e.RawTrailers[i]) {
				return fmt.Sprintf("trailer %q: %q", e.RawTrailers[i], e.RawTrailers[i+1])
			}
		}
		for _, env := range []map[string]string{e.WSGI, e.PHP} {
			for k, v := range env {
				if owned(k) && strings.Contains(v, mark) {
					return k + "=" + v
				}
			}
			if env["HTTP_X_USER"] != user {
				return "HTTP_X_USER=" + env["HTTP_X_USER"]
			}
		}
		if h, _ := e.Headers["x-user"].(string); h != user {
			return "x-user is " + h
		}
	default:
		for _, line := range strings.Split(a.body, "\n") {
			name, value, _ := strings.Cut(line, "=")
			if owned(name) && strings.Contains(value, mark) || name == "HTTP_X_USER" && value != user {
				return line
			}
		}
		if user != "" && !strings.Contains(a.body, "HTTP_X_USER="+user+"\n") {
			return "no HTTP_X_USER"
		}
	}
	return ""
}

func TestNoDisguiseOfAnIdentityReachesABackendThatFoldsNames(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		strict, lenient := nodeWitnesses(t, "")
		all := []*witness{strict, lenient, mapped(t), cgi(t)}
		doc := stage + "services:\n"
		for _, w := range all {
			doc += fmt.Sprintf("  - {name: %s, targets: [{url: %q}]}\n", w.name, w.URL)
		}
		doc += "routes:\n"
		for _, w := range all {
			doc += fmt.Sprintf("  - {name: %[1]s, paths: [/%[1]s], service: %[1]s}\n  - {name: open-%[1]s, paths: [/open/%[1]s], access: public, service: %[1]s}\n", w.name)
		}
		g := start(t, options{engine: engine, resources: doc})
		authorization := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("alice:alices-password")) + "\r\n"
		statuses := map[int]int{}
		ask := func(w *witness, what, request, user string) {
			t.Helper()
			c := dialWire(t, g.proxy, true, nil)
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			c.send(request)
			a, err := c.tryAnswer("POST")
			if err != nil {
				statuses[0]++
				return
			}
			if statuses[a.status]++; a.status != 200 {
				if a.status/100 != 4 {
					t.Errorf("%s: %s: %d %s", w.name, what, a.status, tail(a.body, 200))
				}
				return
			}
			if s := impersonated(w, a, user); s != "" {
				t.Errorf("%s: %s: the backend was told %s", w.name, what, s)
			}
		}
		for _, w := range all { // without a gateway each of them is taken in
			a, err := exchange(newClient(t, false), "GET", w.URL, "", header("X_user", mark))
			if err != nil || impersonated(w, a, "alice") == "" {
				t.Fatalf("%s shows nothing: %+v %v", w.name, a, err)
			}
		}
		lines := fieldLines()
		n := 0
		for i, w := range all {
			for j, l := range lines {
				if w.name == "cgi" && !soak() && (i+j)%3 != 0 {
					continue // a process each
				}
				for _, as := range []struct{ path, credential, user string }{{"/" + w.name, authorization, "alice"}, {"/open/" + w.name, "", ""}} {
					n += 3
					head := as.credential + l + "\r\n"
					ask(w, fmt.Sprintf("%q", l), "POST "+as.path+" HTTP/1.1\r\nHost: x\r\n"+head+"Content-Length: 0\r\n\r\n", as.user)
					ask(w, fmt.Sprintf("%q first", l), "POST "+as.path+" HTTP/1.1\r\n"+l+"\r\nHost: x\r\n"+as.credential+"Content-Length: 0\r\n\r\n", as.user)
					ask(w, fmt.Sprintf("trailer %q", l), "POST "+as.path+" HTTP/1.1\r\nHost: x\r\n"+as.credential+"TE: trailers\r\nConnection: TE\r\nTrailer: X-User, X-A\r\nTransfer-Encoding: chunked\r\n\r\n5;"+"a=b\r\nhello\r\n0\r\n"+l+"\r\n\r\n", as.user)
				}
			}
		}
		t.Logf("%d requests of %d disguises to %d backends, by status %v", n, len(lines), len(all), statuses)
		if len(lines) < 78 || statuses[200] == 0 || statuses[400] == 0 {
			t.Error("that shows nothing")
		}
	})
}

func TestNoDisguiseOfAnIdentityReachesABackendByHTTP2OrWebSocket(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		strict, lenient := nodeWitnesses(t, "")
		g := start(t, options{engine: engine, resources: stage + fmt.Sprintf("services: [{name: node, targets: [{url: %q}]}, {name: lenient, targets: [{url: %q}]}]\nroutes:\n  - {name: node, paths: [/node], service: node}\n  - {name: lenient, paths: [/lenient], service: lenient}\n", strict.URL, lenient.URL)})
		secret := "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:alices-password"))
		list := disguises()
		for _, v := range []string{"b\r\nX-User: " + mark, "b\nX-User: " + mark, "b\rX-User: " + mark, "b\x00X-User: " + mark} {
			list = append(list, pair{"x-a", v}, pair{"cookie", v}, pair{"user-agent", v})
		}
		for _, n := range []string{"x-a: b\r\nX-User", "x-a\nX-User", "x-a: b\nx-user", ":x-user"} {
			list = append(list, pair{n, mark})
		}
		statuses := map[int]int{}
		judge := func(w *witness, what string, status int, text string) {
			t.Helper()
			if statuses[status]++; status != 200 {
				if status >= 500 {
					t.Errorf("%s: %d %s", what, status, text)
				}
				return
			}
			if s := impersonated(w, &answer{body: text}, "alice"); s != "" {
				t.Errorf("%s: %s: the backend was told %s", w.name, what, s)
			}
		}
		for _, w := range []*witness{strict, lenient} {
			for _, d := range list {
				for _, lower := range []bool{true, false} {
					p := pair{d.name, d.value}
					if lower {
						p.name = strings.ToLower(p.name)
					}
					base := []pair{{":method", "POST"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/" + w.name}, {"authorization", secret}}
					h := g.speakH2(t)
					status, _, text := h.ask(append(base[:len(base):len(base)], p), "hello", nil)
					judge(w, fmt.Sprintf("HTTP/2, %q: %q", p.name, p.value), status, text)
					_ = h.Close()
					h = g.speakH2(t)
					status, _, text = h.ask(append(base[:len(base):len(base)], pair{"te", "trailers"}, pair{"trailer", "x-user"}), "hello", []pair{p})
					judge(w, fmt.Sprintf("HTTP/2, trailer %q: %q", p.name, p.value), status, text)
					_ = h.Close()
				}
			}
		}
		t.Logf("HTTP/2: %d forms, by status %v", 4*len(list), statuses)
		if statuses[200] == 0 {
			t.Error("that shows nothing")
		}
		clear(statuses)
		lines := fieldLines()
		for _, l := range lines {
			c := g.wire(t)
			c.send("GET /node HTTP/1.1\r\nHost: x\r\nAuthorization: " + secret + "\r\n" + l + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			_ = c.Close()
			if err != nil {
				statuses[0]++
				continue
			}
			if statuses[res.StatusCode]++; res.StatusCode != 101 {
				continue
			}
			var env map[string]string
			text, _ := url.PathUnescape(res.Header.Get("X-Env"))
			if err := json.Unmarshal([]byte(text), &env); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			for k, v := range env {
				if owned(k) && strings.Contains(v, mark) {
					t.Errorf("WebSocket, %q: the backend was told %s=%s", l, k, v)
				}
			}
			if env["HTTP_X_USER"] != "alice" {
				t.Errorf("WebSocket, %q: HTTP_X_USER is %q", l, env["HTTP_X_USER"])
			}
		}
		t.Logf("WebSocket: %d lines, by status %v", len(lines), statuses)
		if statuses[101] == 0 || statuses[400] == 0 {
			t.Error("that shows nothing")
		}
	})
}
