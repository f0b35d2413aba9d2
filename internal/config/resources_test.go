package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func TestAFolderIsOneDocument(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PASSWORD", "opensesame")
	write(t, dir, "secret/key", "the-backend-key\n")
	write(t, dir, "a.yaml", "services: [{name: orders, targets: [{url: 'http://127.0.0.1:1'}], present: {header: X-Key, value: '${file:secret/key}'}}]")
	write(t, dir, "b/routes.yml", "routes: [{name: r, paths: [/], service: orders}]\nsettings: {reverseProxyAuthentication: {enabled: true}}")
	write(t, dir, "c.json", `{"users": [{"username": "alice", "credentials": [{"type": "password", "password": "${env:PASSWORD}"}]}]}`)
	write(t, dir, ".git/config.yaml", "nonsense: 1")
	write(t, dir, "README.md", "not read")
	doc, faults := LoadResources(dir)
	if faults != nil {
		t.Fatal(faults)
	}
	if len(doc.Services) != 1 || doc.Services[0].Present.Value != "the-backend-key" || doc.Services[0].Retries != 1 || len(doc.Routes) != 1 ||
		!doc.Settings.ReverseProxyAuthentication.Enabled || doc.Settings.IdentityHeaders != nil || doc.Users[0].Credentials[0].Password != "opensesame" {
		t.Errorf("%+v", doc)
	}
}

func TestFaultsOfResourcesNameFileAndLine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "roles:\n  - name: reader\n    permissions:\n      - routes: ['*']\n")
	write(t, dir, "b.yaml", "roles:\n  - name: reader\n    permissions: []\nroutes:\n  - name: Bad\n    paths: [x]\n    servce: orders\nexpect:\n  - {request: GET /, then: whatever}\n")
	write(t, dir, "c.json", "{\n\"groups\": [\n{\"name\": \"staff\", \"roles\": 1}]}")
	write(t, dir, "d.yaml", "settings: {identityHeaders: {id: Host}}\n")
	_, faults := LoadResources(dir)
	var all []string
	for _, f := range faults {
		all = append(all, strings.TrimPrefix(f.String(), dir+"/"))
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"a.yaml: line 4: roles[0].permissions[0].methods",
		"b.yaml: line 2: roles[0]: \"reader\" is defined already, at " + dir + "/a.yaml:2",
		"b.yaml: line 5: routes[0].name", "b.yaml: line 6: routes[0].paths[0]", "b.yaml: line 7: routes[0].servce",
		"b.yaml: line 9: expect[0].then", "c.json: line 3: groups[0].roles", "d.yaml: line 1: settings.identityHeaders.id",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no fault %q in\n%s", want, text)
		}
	}
}

func TestWhatCannotBeReadIsAFault(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "empty/README", "")
	for path, want := range map[string]string{dir + "/none.yaml": "no such file", dir + "/empty": "holds no file"} {
		if _, faults := LoadResources(path); len(faults) != 1 || !strings.Contains(faults[0].String(), want) || faults[0].File != path {
			t.Errorf("%s: %v", path, faults)
		}
	}
}

func TestStandardInputIsReadOnce(t *testing.T) {
	r, faults := ReadResources([]string{Stdin}, strings.NewReader("{groups: [{name: staff}]}"))
	if faults != nil || len(r.Document.Groups) != 1 {
		t.Error(r, faults)
	}
	if _, faults = ReadResources([]string{Stdin}, strings.NewReader("groups: 1")); len(faults) != 1 || faults[0].File != Stdin {
		t.Error(faults)
	}
}

func TestManyUsersAreReadInLinearTime(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"users": [`)
	for i := range 50_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"username": "user%d"}`, i)
	}
	b.WriteString(`]}`)
	began := time.Now()
	r, faults := ReadResources([]string{Stdin}, strings.NewReader(b.String()))
	if faults != nil || len(r.Document.Users) != 50_000 {
		t.Fatal(faults)
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestFaultsThatOthersFindAreLocated(t *testing.T) {
	dir := t.TempDir()
	a := write(t, dir, "a.yaml", "routes:\n- {name: a, paths: [/], service: x}\n")
	b := write(t, dir, "b.yaml", "# routes\nroutes:\n- {name: b, paths: [/b], service: x}\n- name: c\n  paths: [/c]\n  service: nowhere\n")
	r, faults := ReadResources([]string{a, b}, nil)
	if faults != nil {
		t.Fatal(faults)
	}
	got := r.Locate(model.Faults{{Path: "routes[2].service"}, {Path: "routes[9]"}, {Path: "settings"}})
	if got[0].File != b || got[0].Line != 6 || got[0].Path != "routes[1].service" || got[1].File != "" || got[2].File != "" {
		t.Error(got)
	}
}
