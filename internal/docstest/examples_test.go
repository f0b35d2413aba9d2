package docstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

// boot says whether a document is a boot file; else it holds resources.
var boot = regexp.MustCompile(`(?m)^(listeners|dataDir|externalURL):`)

// surroundings is a folder with the files that examples name.
func surroundings(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ALICE_PASSWORD", "EDGE_SECRET", "BOB_PASSWORD", "ORDERS_TOKEN", "INTROSPECTION_SECRET", "CORP_SECRET", "LDAP_PASSWORD"} {
		t.Setenv(name, "a long enough secret")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example"}, NotBefore: time.Now(),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{1},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(t, err)
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(),
		NextUpdate: time.Now().Add(time.Hour)}, cert, key)
	must(t, err)
	for name, b := range map[string]*pem.Block{
		"tls.crt":     {Type: "CERTIFICATE", Bytes: der},
		"tls.key":     {Type: "PRIVATE KEY", Bytes: private},
		"clients.pem": {Type: "CERTIFICATE", Bytes: der},
		"clients.crl": {Type: "X509 CRL", Bytes: crl},
		"issuer.pem":  {Type: "PUBLIC KEY", Bytes: public},
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600))
	}
	for _, name := range []string{"resources.yaml", "people.yaml", "alice.hash"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("{}\n"), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir, "resources"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "resources", "routes.yaml"), []byte("{}\n"), 0o600))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryExampleOfConfigurationIsReadWithoutFault(t *testing.T) {
	dir, n := surroundings(t), 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.info != "yaml sallyport" {
				continue
			}
			n++
			var faults model.Faults
			if boot.MatchString(b.text) {
				_, faults = config.Parse([]byte(b.text), filepath.Join(dir, "sallyport.yaml"))
			} else {
				_, _, faults = config.ParseResources([]byte(b.text), filepath.Join(dir, "example.yaml"))
			}
			for _, f := range faults {
				t.Errorf("%s:%d: %s (line %d of the block): %s", p.path, b.line, f.Path, f.Line, f.Message)
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d examples were found", n)
	}
}

// Files in examples/ hold together as a whole, policy tests included.
func TestEveryExampleFolderHoldsTogether(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "examples", "*", "sallyport.yaml"))
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are no examples")
	}
	for _, f := range files {
		t.Run(filepath.Base(filepath.Dir(f)), func(t *testing.T) {
			dir := surroundings(t)
			must(t, os.RemoveAll(filepath.Join(dir, "resources")))
			must(t, os.Remove(filepath.Join(dir, "resources.yaml")))
			must(t, os.CopyFS(dir, os.DirFS(filepath.Dir(f))))
			c, faults := config.Load(filepath.Join(dir, "sallyport.yaml"))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			r, faults := config.ReadResources(c.Resources, nil)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			faults, warnings := app.Check(t.Context(), c, r.Document)
			for _, x := range r.Locate(append(faults, warnings...)) {
				t.Errorf("%s:%d: %s: %s", filepath.Base(x.File), x.Line, x.Path, x.Message)
			}
		})
	}
}

// Conditions stand in a table, and must compile as a rule would.
func TestEveryConditionThatAPageShowsCompiles(t *testing.T) {
	set := &model.Document{Services: []model.Service{{Name: "s", Targets: []model.Target{{URL: "http://127.0.0.1:1", Weight: 1}}}}}
	set.Services[0].Defaults()
	where := []string{}
	for _, p := range pages(t) {
		table := false
		for i, l := range strings.Split(p.text, "\n") {
			switch cells := strings.Split(l, " | "); {
			case strings.HasPrefix(l, "| condition |"):
				table = true
			case !strings.HasPrefix(l, "|"):
				table = false
			case table && strings.HasPrefix(l, "| `"):
				r := model.Route{Name: "r" + strconv.Itoa(len(where)), Paths: []string{"/" + strconv.Itoa(len(where))}, Service: "s"}
				r.Defaults()
				r.Rules = []model.Rule{{Name: "shown", Require: strings.Trim(cells[0], "| `")}}
				set.Routes = append(set.Routes, r)
				where = append(where, fmt.Sprintf("%s:%d", p.path, i+1))
			}
		}
	}
	if len(where) == 0 {
		t.Fatal("no conditions were found")
	}
	c, faults := config.Parse([]byte("dataDir: data\nlisteners: [{address: 127.0.0.1:0, serve: [proxy]}]\n"), filepath.Join(t.TempDir(), "sallyport.yaml"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, f := range first(app.Check(t.Context(), c, set)) {
		t.Errorf("of the conditions at %v: %s", where, f)
	}
}

// What README shows as the minimal configuration is what lies in examples/minimal.
func TestTheMinimalConfigurationIsTheOneInExamples(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	must(t, err)
	for _, b := range parse("README.md", string(readme)).blocks {
		if b.info != "yaml sallyport" {
			continue
		}
		name := "resources.yaml"
		if boot.MatchString(b.text) {
			name = "sallyport.yaml"
		}
		file, err := os.ReadFile(filepath.Join(root, "examples", "minimal", name))
		must(t, err)
		if without(string(file)) != without(b.text) {
			t.Errorf("README's %s differs from examples/minimal", name)
		}
	}
}

// without leaves out comments and empty lines.
func without(s string) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimRight(l, " "); l != "" && !strings.HasPrefix(strings.TrimSpace(l), "#") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// path of the admin API in a page; … and $ end it.
var apiPath = regexp.MustCompile(`(?:/api)?/v2/[A-Za-z0-9_{}$()./-]*`)

func TestEveryPathOfTheAdminAPIThatAPageNamesIsServed(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "reference", "openapi.json"))
	must(t, err)
	var doc struct {
		Paths map[string]any `json:"paths"`
	}
	must(t, json.Unmarshal(b, &doc))
	for _, p := range pages(t) {
		for i, l := range strings.Split(p.text, "\n") {
			for _, path := range apiPath.FindAllString(l, -1) {
				if path = strings.TrimRight(path, "./"); path == "/v2" || path == "/api/v2" || strings.Contains(path, "golang") {
					continue
				}
				if !served(doc.Paths, path) {
					t.Errorf("%s:%d names %s, which the admin API does not serve", p.path, i+1, path)
				}
			}
		}
	}
}

// served compares by segments: a parameter stands for any.
func served(paths map[string]any, path string) bool {
	have := strings.Split(path, "/")
	for known := range paths {
		want := strings.Split(known, "/")
		if len(want) != len(have) {
			continue
		}
		fits := true
		for i := range want {
			fits = fits && (want[i] == have[i] || strings.HasPrefix(want[i], "{"))
		}
		if fits {
			return true
		}
	}
	return false
}

// first drops the warnings.
func first(faults, _ model.Faults) model.Faults { return faults }
