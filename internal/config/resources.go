package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// maxResources bounds one declarative file: a million users fit.
const maxResources = 1 << 30

// LoadResources reads a declarative file, or all in a folder and the folders
// within it, as one document. References are resolved here.
func LoadResources(path string) (*model.Document, model.Faults) {
	r, faults := ReadResources([]string{path}, nil)
	return r.Document, faults
}

// Resources is what several files hold as one document.
type Resources struct {
	Document *model.Document
	origins  map[string][]place // by kind: where each object of the document comes from
}

// Locate gives faults that others found in the document the file and line where
// they are.
func (r *Resources) Locate(f model.Faults) model.Faults {
	for i := range f {
		kind, rest, ok := strings.Cut(f[i].Path, "[")
		number, rest, ok2 := strings.Cut(rest, "]")
		n, err := strconv.Atoi(number)
		if !ok || !ok2 || err != nil || n < 0 || n >= len(r.origins[kind]) {
			continue
		}
		p := r.origins[kind][n]
		f[i].Path = p.path + rest
		f[i].File, f[i].Line = p.file, p.n.LineOf(f[i].Path)
	}
	return f
}

// ReadResources reads several files and folders as one document; Stdin stands for
// the text in stdin. Objects that two files define are faults, and so is whatever
// is wrong with an object by itself.
func ReadResources(paths []string, stdin io.Reader) (*Resources, model.Faults) {
	var files []string
	var faults model.Faults
	for _, p := range paths {
		found, err := resourceFiles(p)
		if err != nil {
			faults = append(faults, model.Fault{File: p, Message: unreadable(err)})
		} else if len(found) == 0 {
			faults = append(faults, model.Fault{File: p, Message: "holds no file named *.yaml, *.yml or *.json"})
		}
		files = append(files, found...)
	}
	m := merger{doc: &model.Document{}, defined: map[string]place{}, origins: map[string][]place{}}
	for _, f := range files {
		data, err := readResource(f, stdin)
		if err != nil {
			faults = append(faults, model.Fault{File: f, Message: unreadable(err)})
			continue
		}
		doc, n, found := ParseResources(data, f)
		faults = append(faults, found...)
		if n != nil {
			faults = append(faults, m.add(doc, n, f)...)
		}
	}
	return &Resources{m.doc, m.origins}, faults
}

// resourceFiles lists the files that path stands for, in a fixed order.
func resourceFiles(path string) (files []string, err error) {
	if path == Stdin {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && p != path
		switch {
		case d.IsDir() && hidden: // .git, and the ..data of a mounted ConfigMap
			return filepath.SkipDir
		case d.IsDir() || hidden:
		case slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(p))):
			files = append(files, p)
		}
		return nil
	})
	return files, err
}

func readResource(path string, stdin io.Reader) ([]byte, error) {
	if path == Stdin && stdin != nil {
		return io.ReadAll(io.LimitReader(stdin, maxResources))
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxResources {
		return nil, fmt.Errorf("it is larger than %s", model.Size(maxResources))
	}
	return os.ReadFile(path)
}

// ParseResources reads one declarative file, YAML or JSON; path names it in
// faults, and says whence relative ${file:PATH} are found. The node is nil where
// the bytes are neither.
func ParseResources(data []byte, path string) (*model.Document, *strict.Node, model.Faults) {
	n, faults := parse(data, path)
	if n == nil {
		return nil, nil, faults
	}
	base := path
	if path == Stdin {
		base = ""
	}
	faults = append(faults, Expand(n, base)...)
	doc := &model.Document{}
	faults = append(faults, n.Into(doc)...)
	faults = append(faults, n.Locate(without(judge(doc), faults))...)
	return doc, n, inFile(faults, path)
}

// parse takes what looks like JSON for JSON, which YAML reads too, but much more slowly.
func parse(data []byte, path string) (*strict.Node, model.Faults) {
	json := strings.EqualFold(filepath.Ext(path), ".json")
	if start := strings.TrimLeft(string(data[:min(len(data), 512)]), " \t\r\n"); json || strings.HasPrefix(start, "{") {
		n, faults := strict.JSON(data)
		if n != nil || json {
			return n, inFile(faults, path)
		}
	}
	return strict.YAML(data, path)
}

func inFile(f model.Faults, path string) model.Faults {
	for i := range f {
		if f[i].File == "" {
			f[i].File = path
		}
	}
	return f
}

// judge validates each object by itself; what they name may exist at the gateway.
func judge(d *model.Document) (f model.Faults) {
	if s := d.Settings; s != nil {
		whole := model.Settings{}
		whole.Defaults()
		s.Over(&whole)
		f = append(f, whole.Validate("settings")...)
	}
	each(&f, "services", d.Services, (*model.Service).Validate)
	each(&f, "routes", d.Routes, (*model.Route).Validate)
	each(&f, "roles", d.Roles, (*model.Role).Validate)
	each(&f, "groups", d.Groups, (*model.Group).Validate)
	each(&f, "users", d.Users, (*model.User).Validate)
	each(&f, "identityProviders", d.IdentityProviders, (*model.IdentityProvider).Validate)
	for i, e := range d.Expect {
		if !e.Then.Valid() {
			f.Add(at("expect", i)+".then", "is a code of the gateway's answers, or allowed")
		}
	}
	return f
}

func each[T any](f *model.Faults, path string, list []T, validate func(*T, string) model.Faults) {
	for i := range list {
		*f = append(*f, validate(&list[i], at(path, i))...)
	}
}

// merger makes one document of many, in which every object is defined once.
type merger struct {
	doc     *model.Document
	defined map[string]place // by kind and name
	origins map[string][]place
}

// place is where an object is defined; its line is looked for when it is asked for.
type place struct {
	n          *strict.Node
	file, path string
}

func (p place) line() int { return p.n.LineOf(p.path) }

func (m *merger) add(d *model.Document, n *strict.Node, file string) (f model.Faults) {
	if s := d.Settings; s != nil {
		if m.doc.Settings == nil {
			m.doc.Settings = &model.DocumentSettings{}
		}
		for _, p := range s.Parts() {
			if m.once(&f, n, file, "settings."+p.Name, "settings", p.Name) {
				m.doc.Settings.Take(p)
			}
		}
	}
	merge(m, &f, n, file, "services", &m.doc.Services, d.Services, func(v *model.Service) string { return v.Name })
	merge(m, &f, n, file, "routes", &m.doc.Routes, d.Routes, func(v *model.Route) string { return v.Name })
	merge(m, &f, n, file, "roles", &m.doc.Roles, d.Roles, func(v *model.Role) string { return v.Name })
	merge(m, &f, n, file, "groups", &m.doc.Groups, d.Groups, func(v *model.Group) string { return v.Name })
	merge(m, &f, n, file, "users", &m.doc.Users, d.Users, func(v *model.User) string { return model.FoldUsername(v.Username) })
	merge(m, &f, n, file, "identityProviders", &m.doc.IdentityProviders, d.IdentityProviders, func(v *model.IdentityProvider) string { return v.Name })
	if d.Expect != nil && m.doc.Expect == nil {
		m.doc.Expect = []model.Expectation{} // "expect: []" takes the stored ones away
	}
	for i := range d.Expect {
		m.doc.Expect = append(m.doc.Expect, d.Expect[i])
		m.origins["expect"] = append(m.origins["expect"], place{n, file, at("expect", i)})
	}
	return f
}

func merge[T any](m *merger, f *model.Faults, n *strict.Node, file, kind string, into *[]T, list []T, name func(*T) string) {
	if list != nil && *into == nil {
		*into = []T{}
	}
	for i := range list {
		if m.once(f, n, file, at(kind, i), kind, name(&list[i])) {
			*into = append(*into, list[i])
			m.origins[kind] = append(m.origins[kind], place{n, file, at(kind, i)})
		}
	}
}

// once notes where an object is defined, and reports the second time.
func (m *merger) once(f *model.Faults, n *strict.Node, file, path, kind, name string) bool {
	key, here := kind+"/"+name, place{n, file, path}
	if first, ok := m.defined[key]; ok && name != "" {
		*f = append(*f, model.Fault{File: file, Line: here.line(), Path: path,
			Message: fmt.Sprintf("%q is defined already, at %s:%d", name, first.file, first.line())})
		return false
	}
	m.defined[key] = here
	return true
}
