//go:build e2e

package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bootCase is a boot file that cannot be started from, and what must be said of it.
type bootCase struct {
	name  string
	boot  string // DIR, PROXY and ADMIN are filled in; "" = a good one
	files map[string]string
	env   []string
	ready func(t *testing.T, dir, proxy string)
	say   []string // all of it
	check bool     // sallyport check finds it, too
}

const goodBoot = `externalURL: https://api.example.com
dataDir: data
listeners:
  - {address: "PROXY", serve: [proxy], tls: {selfSigned: true}}
  - {address: "ADMIN", serve: [admin], tls: {selfSigned: true}}
`

func bootCases(t *testing.T) []bootCase {
	cert, key := mint(t, 1, "api.example.com")
	_, otherKey := mint(t, 2, "api.example.com")
	pair := func(cert, key string) map[string]string { return map[string]string{"tls.crt": cert, "tls.key": key} }
	secured := strings.Replace(goodBoot, "{selfSigned: true}", "{certificates: [{cert: tls.crt, key: tls.key}]}", 1)
	document := func(more string) map[string]string {
		return map[string]string{"resources.yaml": withBackend(everyone, "http://127.0.0.1:9") + more}
	}
	resources := goodBoot + "resources: [resources.yaml]\n"
	return []bootCase{
		{name: "many faults, all of them with their lines", check: true, boot: `externalURL: http://api.example.com/x
dataDir: data
teh: 1
listeners:
  - address: 0.0.0.0:80
    serve: [proxy, everything]
  - address: nonsense
    serve: [admin]
    tls: {certificates: [{cert: none.crt, key: none.key}], minVersion: "1.1", colour: red}
maxStale: soon
limits: {headerBytes: lots, headerTimeout: -1s}
log: {level: loud}
store: mysql://x
`, say: []string{"yaml:1:", "yaml:3:", "teh", "yaml:6:", "everything", "yaml:7:", "yaml:9:", "none.crt", "none.key", "minVersion", "colour",
			"yaml:10:", "maxStale", "yaml:11:", "headerBytes", "yaml:12:", "log.level", "yaml:13:", "store"}},
		{name: "no YAML at all", check: true, boot: "listeners: [\n\t{{{", say: []string{"yaml:"}},
		{name: "an empty file", check: true, boot: "\n", say: []string{"listeners"}},
		{name: "a file of zeros", check: true, boot: strings.Repeat("\x00", 1000), say: []string{"sallyport.yaml"}},
		{name: "aliases that unfold without end", check: true, boot: "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", say: []string{"yaml:"}},
		{name: "a field twice", check: true, boot: goodBoot + "dataDir: other\n", say: []string{"yaml:6:", "dataDir"}},
		{name: "a variable that is not set", check: true, boot: goodBoot + "store: \"sqlite:${env:SALLYPORT_NOT_SET}\"\n", say: []string{"SALLYPORT_NOT_SET", "yaml:6:"}},
		{name: "a file of a secret that is not there", check: true, boot: goodBoot + "store: \"sqlite:${file:/not/there}\"\n", say: []string{"/not/there", "yaml:6:"}},
		{name: "plain HTTP for everybody", check: true, boot: strings.Replace(goodBoot, `{address: "PROXY", serve: [proxy], tls: {selfSigned: true}}`, `{address: "0.0.0.0:8080", serve: [proxy]}`, 1), say: []string{"yaml:4:", "plain HTTP"}},
		{name: "a port in use", ready: func(t *testing.T, _, proxy string) {
			l, err := net.Listen("tcp", proxy)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
		}, say: []string{"PROXY", "in use"}},
		{name: "a missing key", boot: secured, files: map[string]string{"tls.crt": cert}, say: []string{"tls.key", "yaml:4:"}, check: true},
		{name: "a missing certificate", boot: secured, files: map[string]string{"tls.key": key}, say: []string{"tls.crt", "yaml:4:"}, check: true},
		{name: "a certificate that does not fit its key", boot: secured, files: pair(cert, otherKey), say: []string{"yaml:4:", "certificates[0].key", "does not fit"}, check: true},
		{name: "a certificate that is none", boot: secured, files: pair("hello", key), say: []string{"yaml:4:", "certificates[0].cert", "no PEM certificate"}, check: true},
		{name: "a key that is none", boot: secured, files: pair(cert, "hello"), say: []string{"yaml:4:", "certificates[0].key", "no PEM private key"}, check: true},
		{name: "cert and key the wrong way round", boot: secured, files: pair(key, cert), say: []string{"yaml:4:", "certificates[0].cert"}, check: true},
		{name: "a client CA that is none", boot: strings.Replace(goodBoot, "{selfSigned: true}", "{selfSigned: true, clientCA: ca.pem}", 1), files: map[string]string{"ca.pem": "hello"}, say: []string{"yaml:4:", "clientCA", "no PEM certificate"}, check: true},
		{name: "a data directory that is a file", files: map[string]string{"data": "hello"}, say: []string{"yaml:2:", "dataDir", "not a folder"}},
		{name: "a data directory that cannot be written", ready: func(t *testing.T, dir, _ string) {
			data := filepath.Join(dir, "data")
			if err := errors.Join(os.Mkdir(data, 0o700), syscall.Mount("tmpfs", data, "tmpfs", syscall.MS_RDONLY, "")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
		}, say: []string{"data", "read-only"}},
		{name: "a database of something else", files: map[string]string{"data/sallyport.db": strings.Repeat("no database ", 500)}, say: []string{"sallyport.db", "not a SQLite database"}},
		{name: "a missing resource file", boot: resources, say: []string{"resources.yaml"}, check: true},
		{name: "resources that are no YAML", boot: resources, files: map[string]string{"resources.yaml": "services: [\n  {{"}, say: []string{"resources.yaml", "yaml:"}, check: true},
		{name: "an unknown field in a resource", boot: resources, files: document("  - {name: other, paths: [/x], service: api, acess: public}\n"), say: []string{"resources.yaml", "yaml:14:", "acess"}, check: true},
		{name: "a route to an unknown service", boot: resources, files: document("  - {name: other, paths: [/x], service: nobody}\n"), say: []string{"nobody", "yaml:14:"}, check: true},
		{name: "two routes that nothing tells apart", boot: resources, files: document("  - {name: other, paths: [/api], service: api}\n"), say: []string{"yaml:14:", "other", "api"}, check: true},
		{name: "a role that nobody knows", boot: resources, files: map[string]string{"resources.yaml": strings.Replace(withBackend(everyone, "http://127.0.0.1:9"), "roles: [read-only]", "roles: [emperor]", 1)}, say: []string{"yaml:7:", "groups", "emperor"}, check: true},
		{name: "a policy test that fails", boot: resources, files: document("expect: [{as: bob, request: \"POST /api\", then: allowed}]\n"), say: []string{"bob", "permission_denied"}, check: true},
		{name: "a condition that is no CEL", boot: resources, files: document("  - {name: other, paths: [/x], service: api, rules: [{name: r, require: \"user.(\"}]}\n"), say: []string{"rules", "require"}, check: true},
		{name: "a target that is the gateway itself", boot: resources, files: map[string]string{"resources.yaml": withBackend(everyone, "http://PROXY")}, say: []string{"yaml:3:", "gateway"}, check: true},
	}
}

// TestAStartThatCannotBeSaysWhy starts from each of them: exit code 1, all that is
// wrong with its place, nothing of a panic, and soon.
func TestAStartThatCannotBeSaysWhy(t *testing.T) {
	for _, c := range bootCases(t) {
		t.Run(c.name, func(t *testing.T) {
			dir, proxy, admin := t.TempDir(), freeAddress(t), freeAddress(t)
			fill := strings.NewReplacer("PROXY", proxy, "ADMIN", admin, "DIR", dir).Replace
			if c.boot == "" {
				c.boot = goodBoot
			}
			boot := write(t, filepath.Join(dir, "sallyport.yaml"), fill(c.boot))
			for name, text := range c.files {
				write(t, filepath.Join(dir, name), fill(text))
			}
			if c.ready != nil {
				c.ready(t, dir, proxy)
			}
			verbs := []string{"run"}
			if c.check {
				verbs = append(verbs, "check")
			}
			for _, verb := range verbs {
				begin := time.Now()
				out, code := runProgram(t, 20*time.Second, append([]string{"SALLYPORT_ADMIN_PASSWORD=" + adminPassword}, c.env...), binary(t), verb, "-c", boot)
				if code != 1 {
					t.Errorf("%s: exit code %d", verb, code)
				}
				for _, s := range c.say {
					if !strings.Contains(out, fill(s)) {
						t.Errorf("%s does not say %q:\n%s", verb, fill(s), out)
					}
				}
				if strings.Contains(out, "goroutine ") || strings.Contains(out, "panic") {
					t.Errorf("%s panics:\n%s", verb, tail(out, 3000))
				}
				within(t, verb, time.Since(begin), 5*time.Second)
			}
			if l, err := net.Listen("tcp", admin); err != nil {
				t.Errorf("the other port is held: %v", err)
			} else {
				_ = l.Close()
			}
		})
	}
}

// TestTwoGatewaysDoNotShareADataDirectory starts a second one beside the first.
func TestTwoGatewaysDoNotShareADataDirectory(t *testing.T) {
	g := start(t, options{resources: withBackend(everyone, newLedger(t, nil).URL)})
	boot := read(t, g.bootFile)
	boot = strings.NewReplacer(g.proxy, freeAddress(t), g.admin, freeAddress(t)).Replace(boot)
	second := write(t, filepath.Join(g.dir, "second.yaml"), boot)
	out, code := runProgram(t, 20*time.Second, nil, binary(t), "run", "-c", second)
	if code != 1 || !strings.Contains(out, "in use") && !strings.Contains(out, "another") {
		t.Errorf("exit %d: %s", code, out)
	}
	g.get(t, "alice", "/api").expect(t, "the first goes on", 200, "")
	g.must(t, 200, "PATCH", "/v2/users/bob", `{"displayName":"still"}`)
}

// TestABootFileThatDoesNotExistAnyMoreHarmsNobody reloads by SIGHUP with broken files.
func TestABootFileThatDoesNotExistAnyMoreHarmsNobody(t *testing.T) {
	g := start(t, options{resources: withBackend(everyone, newLedger(t, nil).URL)})
	for _, text := range []string{"{{{", "", "listeners: []\n"} {
		write(t, g.bootFile, text)
		g.signal(syscall.SIGHUP)
		time.Sleep(50 * time.Millisecond)
	}
	_ = os.Remove(g.bootFile)
	g.signal(syscall.SIGHUP)
	time.Sleep(50 * time.Millisecond)
	g.get(t, "alice", "/api").expect(t, "after four reloads", 200, "")
}
