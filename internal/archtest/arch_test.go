package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport/"

// allowed lists, for each room, the rooms of internal/ that its packages may
// import besides their own. The first entry whose room fits a package counts, so
// the narrow ones stand before the wide ones. An arrow that is not here does not exist.
var allowed = []struct {
	room string
	may  []string
}{
	{"model", nil},
	{"secret", nil},
	{"strict", []string{"model"}},
	{"directory", []string{"model"}},
	{"store/sqlite", []string{"store", "directory", "model"}},
	{"store", []string{"directory", "model", "store"}},
	{"snapshot", []string{"model"}},
	{"audit", []string{"model"}},
	{"metrics", nil},
	{"fetch", []string{"model"}},
	{"problem", []string{"model"}},
	{"gate/match", []string{"model"}},
	{"gate/strip", []string{"model"}},
	{"gate/cors", []string{"model"}},
	{"gate/csrf", []string{"model"}},
	{"gate/authz", []string{"model", "directory"}},
	{"gate/identity", []string{"model", "directory"}},
	{"gate/authn/all", []string{"model", "directory", "gate/authn", "secret"}},
	{"gate/authn", []string{"model", "directory", "gate/authn", "secret", "strict"}},
	{"gate", []string{"model", "directory", "gate"}},
	{"record", []string{"gate", "model"}},
	{"session", []string{"model", "directory", "store", "secret"}},
	{"ldap", []string{"model"}},
	{"login/flow", []string{"model"}},
	{"login/oidc", []string{"model", "login/flow", "fetch", "strict"}},
	{"login/saml", []string{"model", "login/flow", "fetch"}},
	{"login", []string{"model", "directory", "session", "store", "login/flow", "problem", "gate", "gate/csrf", "gate/authn", "secret"}},
	{"provision", []string{"model", "directory", "store", "strict", "secret"}},
	{"config", []string{"model", "strict"}},
	{"listen", []string{"model", "config"}},
	{"door", []string{"door", "gate", "record", "problem", "model", "directory", "listen"}},
	{"face/rest", []string{"provision", "store", "directory", "problem", "strict", "model", "secret"}},
	{"cli", []string{"model", "config", "strict", "secret", "audit"}},
	{"app", []string{""}},
	{"archtest", nil},
	{"docstest", nil},
}

// onlyBy lists rooms that one room alone may import.
var onlyBy = map[string]string{
	"store/sqlite":   "app",
	"gate/authn/all": "app",
}

// concrete methods are imported by the table alone.
var methods = []string{"basic", "apikey", "bearer", "mtls", "trustedheader", "session", "signature"}

// pure rooms open no sockets and speak no HTTP.
var noNetHTTP = []string{"model", "gate", "directory", "store", "snapshot"}

func TestRoomsImportOnlyWhatTheArrowsAllow(t *testing.T) {
	for pkg, imports := range packages(t) {
		room := roomOf(pkg)
		if room == nil {
			t.Errorf("internal/%s belongs to no room: add it to the arrows, to CONTEXT.md and to docs/architecture.md", pkg)
			continue
		}
		for _, imp := range imports {
			rest, internal := strings.CutPrefix(imp, module+"internal/")
			if !internal || within(rest, room.room) {
				continue
			}
			ok := false
			for _, m := range room.may {
				ok = ok || m == "" || within(rest, m)
			}
			if !ok {
				t.Errorf("internal/%s imports internal/%s: the arrows allow %v", pkg, rest, room.may)
			}
		}
	}
}

func TestConcreteStoresAndMethodsAreNamedInOnePlace(t *testing.T) {
	for pkg, imports := range packages(t) {
		for _, imp := range imports {
			rest, _ := strings.CutPrefix(imp, module+"internal/")
			if by, ok := onlyBy[rest]; ok && pkg != by && !within(pkg, rest) {
				t.Errorf("internal/%s imports internal/%s, which only internal/%s may", pkg, rest, by)
			}
			for _, m := range methods {
				if rest == "gate/authn/"+m && pkg != "gate/authn/all" {
					t.Errorf("internal/%s imports the concrete method %s, which only gate/authn/all may", pkg, m)
				}
			}
		}
	}
}

func TestSiblingsUnderGateAreStrangers(t *testing.T) {
	for pkg, imports := range packages(t) {
		sub, ok := strings.CutPrefix(pkg, "gate/")
		if !ok {
			continue
		}
		own, _, _ := strings.Cut(sub, "/")
		for _, imp := range imports {
			if rest, ok := strings.CutPrefix(imp, module+"internal/gate/"); ok {
				if other, _, _ := strings.Cut(rest, "/"); other != own {
					t.Errorf("gate/%s imports its sibling gate/%s", sub, rest)
				}
			}
			if imp == module+"internal/gate" {
				t.Errorf("gate/%s imports the gate above it", sub)
			}
		}
	}
}

func TestTheDecisionOpensNoSockets(t *testing.T) {
	for pkg, imports := range packages(t) {
		for _, room := range noNetHTTP {
			if !within(pkg, room) || strings.HasPrefix(pkg, "gate/authn/keys") || strings.HasPrefix(pkg, "gate/authn/bearer") {
				continue
			}
			for _, imp := range imports {
				if imp == "net/http" {
					t.Errorf("internal/%s imports net/http", pkg)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItOwnsAndNoFileIsTooLong(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := strings.Count(string(b), "\n"); n > 400 {
			t.Errorf("%s has %d lines; the law is 400", path, n)
		}
		if dir := filepath.Dir(path); strings.Contains(dir, "internal") || strings.HasSuffix(dir, "verify") {
			if _, err := os.Stat(filepath.Join(dir, "doc.go")); err != nil {
				t.Errorf("%s has no doc.go", dir)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func roomOf(pkg string) *struct {
	room string
	may  []string
} {
	for i := range allowed {
		if within(pkg, allowed[i].room) {
			return &allowed[i]
		}
	}
	return nil
}

// packages maps each package below internal/ to what its non-test files import.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		out[pkg] = append(out[pkg], nil...)
		for _, i := range f.Imports {
			out[pkg] = append(out[pkg], strings.Trim(i.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
