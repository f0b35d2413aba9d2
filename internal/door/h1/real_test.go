package h1

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// server is a program that serves HTTP on a port and logs one line a request: its
// X-Request-Id, a bar, and its request line.
type server struct {
	program string
	args    func(dir string, port int, log string) []string
}

var servers = map[string]server{
	"nginx": {"nginx", func(dir string, port int, log string) []string {
		conf := filepath.Join(dir, "nginx.conf")
		_ = os.WriteFile(conf, fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 1000; }
http { log_format l '$http_x_request_id|$request'; access_log %[3]s l; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s; underscores_in_headers on; keepalive_requests 100000; server { listen 127.0.0.1:%[2]d; location / { return 200 "ok"; } } }`, dir, port, log), 0o644)
		return []string{"-p", dir, "-c", conf}
	}},
	"apache2": {"apache2", func(dir string, port int, log string) []string {
		conf := filepath.Join(dir, "apache.conf")
		_ = os.WriteFile(conf, fmt.Appendf(nil, `ServerRoot %[1]s
ServerName x
PidFile %[1]s/pid
DefaultRuntimeDir %[1]s
Listen 127.0.0.1:%[2]d
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
User www-data
Group www-data
ErrorLog %[1]s/error.log
LogFormat "%%{X-Request-Id}i|%%r" l
CustomLog %[3]s l
MaxKeepAliveRequests 0
DocumentRoot %[1]s
`, dir, port, log), 0o644)
		return []string{"-X", "-f", conf}
	}},
	"node": {"node", func(dir string, port int, log string) []string {
		js := filepath.Join(dir, "server.js")
		_ = os.WriteFile(js, fmt.Appendf(nil, `const fs = require('fs'), log = fs.openSync(%q, 'a');
const s = require('http').createServer({insecureHTTPParser: true}, (q, r) => {
  fs.writeSync(log, (q.headers['x-request-id'] || '-') + '|' + q.method + ' ' + q.url + ' HTTP/' + q.httpVersion + '\n');
  q.resume(); q.on('end', () => r.end('ok')); q.on('error', () => {});
});
s.on('clientError', (e, c) => c.destroy()); s.listen(%d, '127.0.0.1');`, log, port), 0o644)
		return []string{js}
	}},
}

// run starts the server and gives its address and the path of its log.
func (s server) run(t *testing.T) (addr, log string) {
	t.Helper()
	path, err := exec.LookPath(s.program)
	if err != nil {
		t.Skip(s.program + " is not installed")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	port := ln.Addr().(*net.TCPAddr).Port
	_ = ln.Close()
	dir := t.TempDir()
	log = filepath.Join(dir, "requests.log")
	cmd := exec.Command(path, s.args(dir, port, log)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr, log
		}
		if time.Now().After(end) {
			t.Fatal(s.program + " does not start")
		}
	}
}

func TestNoRealTargetSeesARequestThatWasNotDecidedOn(t *testing.T) {
	var list []string
	list = append(list, thin(pairs(), 20)...)
	list = append(list, thin(inserted(), 10)...)
	list = append(list, thin(chunkings(), 4)...)
	list = append(list, thin(games(), 7)...)
	if testing.Short() {
		list = thin(list, 5)
	}
	for name, s := range servers {
		t.Run(name, func(t *testing.T) {
			addr, log := s.run(t)
			g := start(t, addr, keeper, usual, limits(Config{HeaderTimeout: time.Second, IdleTimeout: time.Second}))
			served := attack(t, g, list)
			time.Sleep(100 * time.Millisecond)
			b, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			allowed := map[string]string{}
			for _, d := range g.Decisions() {
				if d.Code == model.Allowed {
					allowed[d.ID] = d.Method + " " + d.Target + " HTTP/1.1"
				}
			}
			seen := map[string]bool{}
			lines := strings.Split(strings.TrimSpace(string(b)), "\n")
			for _, l := range lines {
				id, request, _ := strings.Cut(l, "|")
				if request != "" && (allowed[id] != request || seen[id]) {
					t.Errorf("%s saw %q, decided on was %q (seen before %v)", name, l, allowed[id], seen[id])
				}
				seen[id] = true
			}
			t.Logf("%d attempts, %d of them had their first request served, %s saw %d", len(list), served, name, len(lines))
		})
	}
}

// usual refuses methods that real servers do not know: they would answer 400 for
// themselves, or hang up.
func usual(s *setup) {
	before := s.Before
	s.Before = func(ex *gate.Exchange) {
		before(ex)
		switch ex.Method {
		case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		default:
			if ex.Err == nil {
				ex.Err, ex.Step = model.NewError(model.PermissionDenied, "No."), gate.StepAuthorise
			}
		}
	}
}
