//go:build e2e

package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// Each of these is an operator's mistake; each gets a clear answer, and exit 1.
func TestAGatewayThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.server("one", "one.example.com")
	_, otherKey := ca.server("two", "two.example.com")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	run := func(t *testing.T, dir, boot string) (string, int) {
		t.Helper()
		file := write(t, filepath.Join(dir, "sallyport.yaml"), boot)
		p := launch(t, dir, []string{"SALLYPORT_ADMIN_PASSWORD=" + adminPassword}, binary(t), "run", "-c", file)
		code := p.wait(15 * time.Second)
		return p.log.String(), code
	}
	listener := func(tls string) string {
		return fmt.Sprintf("dataDir: data\nlisteners:\n  - {address: %q, serve: [proxy], tls: %s}\n", freeAddress(t), tls)
	}
	for _, c := range []struct {
		name, boot string
		says       []string
		prepare    func(dir string)
	}{
		{"unknown fields, wrong types and missing things, all in one go", "dataDri: x\nlisteners:\n  - {address: nowhere, serve: [proxy, cake]}\n  - {adress: \"127.0.0.1:1\", serve: []}\nlimits: {headerBytes: many}\n",
			[]string{"sallyport.yaml:1", "sallyport.yaml:3", "sallyport.yaml:4", "sallyport.yaml:5", "dataDri", "cake", "adress", "headerBytes"}, nil},
		{"no YAML", "listeners: [\n", []string{"sallyport.yaml:"}, nil},
		{"an empty file", "", []string{"listeners"}, nil},
		{"a secret that is not there", "externalURL: ${env:NO_SUCH_VARIABLE}\n" + listener("{selfSigned: true}"), []string{"NO_SUCH_VARIABLE"}, nil},
		{"plain HTTP to the world", "dataDir: data\nlisteners: [{address: \"0.0.0.0:1\", serve: [proxy]}]\n", []string{"allowPlaintext"}, nil},
		{"a port in use", fmt.Sprintf("dataDir: data\nlisteners: [{address: %q, serve: [proxy]}]\n", taken.Addr()), []string{taken.Addr().String(), "in use"}, nil},
		{"a key file that is missing", listener(fmt.Sprintf("{certificates: [{cert: %s, key: /no/such/key}]}", cert)), []string{"/no/such/key", "sallyport.yaml:3"}, nil},
		{"a key that does not fit", listener(fmt.Sprintf("{certificates: [{cert: %s, key: %s}]}", cert, otherKey)), []string{"sallyport.yaml:3", "does not fit"}, nil},
		{"a certificate that is none", listener(fmt.Sprintf("{certificates: [{cert: %s, key: %s}]}", key, key)), []string{"PEM certificate"}, nil},
		{"a file in the place of the data folder", listener("{selfSigned: true}"), []string{"dataDir", "not a folder"}, func(dir string) { write(t, filepath.Join(dir, "data"), "x") }},
		{"a database that is none", listener("{selfSigned: true}"), []string{"sallyport.db"}, func(dir string) {
			write(t, filepath.Join(dir, "data", "sallyport.db"), strings.Repeat("this is no database ", 1000))
		}},
		{"resources that are missing", "resources: [nowhere.yaml]\n" + listener("{selfSigned: true}"), []string{"nowhere.yaml", "sallyport.yaml:1"}, nil},
		{"resources that do not hold together", "resources: [r.yaml]\n" + listener("{selfSigned: true}"), []string{"nowhere", "r.yaml"}, func(dir string) {
			write(t, filepath.Join(dir, "r.yaml"), "routes:\n  - {name: x, paths: [/x], service: nowhere}\n")
		}},
		{"resources with a field that does not exist", "resources: [r.yaml]\n" + listener("{selfSigned: true}"), []string{"r.yaml:2", "pahts"}, func(dir string) {
			write(t, filepath.Join(dir, "r.yaml"), "routes:\n  - {name: x, pahts: [/x], service: nowhere}\n")
		}},
		{"a loop by configuration", "resources: [r.yaml]\ndataDir: data\nlisteners: [{address: \"127.0.0.1:LOOP\", serve: [proxy]}]\n", []string{"listener"}, func(dir string) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.prepare != nil {
				c.prepare(dir)
			}
			if strings.Contains(c.boot, "LOOP") {
				port := fmt.Sprint(freePort(t))
				c.boot = strings.ReplaceAll(c.boot, "LOOP", port)
				write(t, filepath.Join(dir, "r.yaml"), "services:\n  - {name: x, targets: [{url: \"http://127.0.0.1:"+port+"\"}]}\n")
			}
			out, code := run(t, dir, c.boot)
			if code != 1 {
				t.Errorf("exit %d, want 1: %s", code, out)
			}
			for _, s := range c.says {
				if !strings.Contains(out, s) {
					t.Errorf("nothing of %q in: %s", s, out)
				}
			}
			if strings.Contains(out, "goroutine ") {
				t.Errorf("a stack: %s", out)
			}
		})
	}
	t.Run("a database of a newer version", func(t *testing.T) {
		b := newBackend(t, nil)
		g := start(t, options{resources: withBackend(everyone, b.URL)})
		g.stop(t)
		db, err := sql.Open("sqlite", filepath.Join(g.dir, "data", "sallyport.db"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.Exec(`INSERT INTO migrations (number, name, checksum, applied) VALUES (9999, 'of the future', 'x', 0)`)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		out, code := runProgram(t, 15*time.Second, nil, binary(t), "run", "-c", g.bootFile)
		if code != 1 || !strings.Contains(out, "newer") {
			t.Errorf("exit %d: %s", code, out)
		}
	})
	t.Run("check finds all of it beforehand", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "r.yaml"), "routes:\n  - {name: x, paths: [/x], service: nowhere}\n  - {name: x y, paths: [], service: a}\n")
		file := write(t, filepath.Join(dir, "sallyport.yaml"), "dataDir: data\nresources: [r.yaml]\nwhat: 1\nlisteners: [{address: \"127.0.0.1:1\", serve: [proxy]}]\n")
		out, code := runProgram(t, 15*time.Second, nil, binary(t), "check", "-c", file)
		if code != 1 || !strings.Contains(out, "sallyport.yaml:3") || !strings.Contains(out, "r.yaml:3") {
			t.Errorf("exit %d: %s", code, out)
		}
		write(t, file, "dataDir: data\nresources: [r.yaml]\nlisteners: [{address: \"127.0.0.1:1\", serve: [proxy]}]\n")
		write(t, filepath.Join(dir, "r.yaml"), withBackend(everyone, "http://127.0.0.1:2")+"expect: [{as: bob, request: \"GET /api\", then: allowed}]\n")
		if out, code = runProgram(t, 15*time.Second, nil, binary(t), "check", "-c", file); code != 0 {
			t.Errorf("exit %d: %s", code, out)
		}
		write(t, filepath.Join(dir, "r.yaml"), withBackend(everyone, "http://127.0.0.1:2")+"expect: [{as: bob, request: \"POST /api\", then: allowed}]\n")
		if out, code = runProgram(t, 15*time.Second, nil, binary(t), "check", "-c", file); code != 1 || !strings.Contains(out, "permission_denied") {
			t.Errorf("a failing policy test: exit %d: %s", code, out)
		}
	})
}

func TestTheFirstAdministratorsPasswordIsPrintedOnce(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL), env: []string{"SALLYPORT_ADMIN_PASSWORD="}})
	password := ""
	until(t, 10*time.Second, "the password is told", func() bool { // it is hashed beside the serving
		_, after, told := strings.Cut(g.log.String(), "password ")
		if told {
			password = strings.Trim(strings.Fields(after)[0], ":.,")
		}
		return told
	})
	a := g.send(t, "GET", "https://"+g.admin+"/v2/status", "", basic("admin", password))
	if a.status != 200 {
		t.Errorf("the printed password: %d %s", a.status, a.body)
	}
	g.stop(t)
	g.run(t)
	if strings.Contains(g.log.String(), password) || strings.Contains(g.log.String(), "was made") {
		t.Error("the second start prints it again")
	}
}
