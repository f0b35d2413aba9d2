//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// witness is a real backend that writes down each request it saw. What it says is
// the evidence: an answer proves nothing, for a proxy can answer 400 after it has
// forwarded.
type witness struct {
	name string
	URL  string
	log  string // its access log
}

// testimony is one request as a witness saw it.
type testimony struct {
	id     string   // X-Request-Id; "-" = none: it came past the gateway's decision
	method string   // "-" or "" = what its parser refused
	line   string   // the request line
	paths  []string // what it took the path for; node's has several readings
	file   string   // the file it went for, where it serves files
	status string
}

// target is the request line's target.
func (s testimony) target() string {
	line, _, _ := strings.Cut(s.line, "\r\n")
	_, rest, _ := strings.Cut(line, " ")
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		return rest[:i]
	}
	return rest
}

// saw reads the log as it stands.
func (w *witness) saw(t testing.TB) (out []testimony) {
	t.Helper()
	b, err := os.ReadFile(w.log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	whole := string(b[:bytes.LastIndexByte(b, '\n')+1]) // a long line is written in pieces
	for l := range strings.Lines(whole) {
		if l = strings.TrimSuffix(l, "\n"); l == "" {
			continue
		}
		m := strings.Split(l, "\t")
		if len(m) != 6 {
			t.Fatalf("%s wrote %q", w.name, l)
		}
		s := testimony{id: m[0], method: m[1], line: unescaped(m[2]), file: unescaped(m[4]), status: m[5]}
		for _, p := range strings.Split(m[3], "|") {
			s.paths = append(s.paths, unescaped(p))
		}
		out = append(out, s)
	}
	return out
}

// quiet waits until no witness has written anything for a while.
func quiet(t testing.TB, all []*witness) {
	t.Helper()
	size := func() (n int64) {
		for _, w := range all {
			if info, err := os.Stat(w.log); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	last, since := size(), time.Now()
	for end := time.Now().Add(20 * time.Second); time.Since(since) < 500*time.Millisecond && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if n := size(); n != last {
			last, since = n, time.Now()
		}
	}
}

// unescaped reads the \xHH of access logs.
func unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			switch c := s[i+1]; c {
			case 'x':
				if n, err := strconv.ParseUint(s[min(i+2, len(s)):min(i+4, len(s))], 16, 8); err == nil {
					b.WriteByte(byte(n))
					i += 3
					continue
				}
			case '"', '\\':
				b.WriteByte(c)
				i++
				continue
			case 'n', 'r', 't', 'v', 'b', 'f', 'a':
				b.WriteByte(map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', 'b': '\b', 'f': '\f', 'a': '\a'}[c])
				i++
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// openFolder is a temporary folder that servers may read that run as somebody else.
func openFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	_ = os.Chmod(dir, 0o777)
	return dir
}

// witnessNames are what witnesses come in: nginx, Apache, and node twice, strict and
// forgiving.
var witnessNames = []string{"nginx", "apache", "node", "lenient"}

// witnesses starts them. With files, a
// folder, they serve it; without, they answer everything with 200 and the request
// line that they read, in X-Saw.
func witnesses(t testing.TB, files string) []*witness {
	t.Helper()
	strict, lenient := nodeWitnesses(t, files)
	return []*witness{nginxWitness(t, files), apacheWitness(t, files), strict, lenient}
}

func nginxWitness(t testing.TB, files string) *witness {
	t.Helper()
	dir, address := openFolder(t), freeAddress(t)
	location := `location / { add_header X-Saw "$request" always; return 200 "nginx\n"; }`
	if files != "" {
		location = `root ` + files + `; location / { add_header X-Saw "$request" always; }`
	}
	conf := fmt.Sprintf(`
daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log error;
events { worker_connections 1024; }
http {
  log_format seen '$http_x_request_id	$request_method	$request	$uri	$request_filename	$status';
  access_log %[1]s/access.log seen;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_timeout 120s; keepalive_requests 1000000; client_max_body_size 0; large_client_header_buffers 8 64k; underscores_in_headers on; ignore_invalid_headers off;
  server { listen %[2]s; %[3]s }
}`, dir, address, location)
	p := launch(t, dir, nil, need(t, "nginx"), "-p", dir, "-c", write(t, filepath.Join(dir, "nginx.conf"), conf))
	p.listens(address)
	return &witness{"nginx", "http://" + address, filepath.Join(dir, "access.log")}
}

const apacheModules = "/usr/lib/apache2/modules"

// apacheWitness is httpd as forgiving as it can be made: HttpProtocolOptions Unsafe
// takes bare LF, and encoded slashes are decoded before they are resolved.
func apacheWitness(t testing.TB, files string) *witness {
	t.Helper()
	dir, address := openFolder(t), freeAddress(t)
	ok := write(t, filepath.Join(dir, "root", "ok.txt"), "apache\n")
	_ = os.Chmod(filepath.Dir(ok), 0o755)
	_ = os.Chmod(ok, 0o644)
	content := fmt.Sprintf("AliasMatch \"^\" \"%s\"\nDocumentRoot %s\n", ok, filepath.Dir(ok))
	if files != "" {
		content = "DocumentRoot " + files + "\n"
	}
	p := apache(t, dir, address, "LogFormat \"%{X-Request-Id}i\\t%m\\t%r\\t%U\\t%f\\t%>s\" seen\nCustomLog access.log seen\n"+
		"Header always set X-Saw \"expr=%{THE_REQUEST}\"\nAllowEncodedSlashes On\n"+content)
	p.listens(address)
	return &witness{"apache", "http://" + address, filepath.Join(dir, "access.log")}
}

// apache starts httpd on a configuration, as one process, so that killing it leaves
// no children behind.
func apache(t testing.TB, dir, address, conf string) *program {
	t.Helper()
	identity := ""
	if os.Geteuid() == 0 {
		identity = "User www-data\nGroup www-data\n"
	}
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "alias", "headers", "mime", "dir", "cgi"} {
		fmt.Fprintf(&modules, "LoadModule %s_module %s/mod_%s.so\n", m, apacheModules, m)
	}
	return launch(t, dir, nil, need(t, "apache2"), "-X", "-f", write(t, filepath.Join(dir, "httpd.conf"), fmt.Sprintf(`
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/pid
ServerName localhost
Listen %[2]s
%[3]s%[4]sTypesConfig /dev/null
ErrorLog %[1]s/error.log
HttpProtocolOptions Unsafe LenientMethods Allow0.9
LimitRequestFieldSize 65536
LimitRequestLine 65536
LimitRequestFields 0
KeepAlive On
KeepAliveTimeout 120
MaxKeepAliveRequests 0
ServerLimit 1
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
<Directory />
  Require all granted
  AllowOverride None
</Directory>
%[5]s`, dir, address, modules.String(), identity, conf)))
}

func nodeWitnesses(t testing.TB, files string) (strict, lenient *witness) {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("node", "echo.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "node.log")
	one, two := freePort(t), freePort(t)
	args := []string{script, log, fmt.Sprint(one), fmt.Sprint(two)}
	if files != "" {
		args = append(args, files)
	}
	p := launch(t, t.TempDir(), nil, need(t, "node"), args...)
	p.listens(fmt.Sprintf("127.0.0.1:%d", two))
	p.listens(fmt.Sprintf("127.0.0.1:%d", one))
	return &witness{"node", fmt.Sprintf("http://127.0.0.1:%d", one), log + ".strict"}, &witness{"lenient", fmt.Sprintf("http://127.0.0.1:%d", two), log + ".lenient"}
}
