package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Entry allows one caller, or one kind of caller, some methods on some paths.
type Entry struct {
	// Identity is who: a name (Identity.Name, compared exactly), or sub:ID,
	// client:ID, group:NAME, role:NAME, user:NAME (a name, whatever it looks
	// like), or * for every verified caller.
	Identity string `yaml:"identity"`
	// Issuer is who must vouch for it. Left out, it is the gateway, or where no
	// gateway is configured the one listed issuer: a name means nothing without
	// the one who gave it.
	Issuer string `yaml:"issuer"`
	// Paths are prefixes on segment boundaries (/orders allows /orders and
	// /orders/7, not /orders-archive), or, after =, one path exactly.
	Paths []string `yaml:"paths"`
	// Methods are HTTP methods, or *; GET includes HEAD.
	Methods []string `yaml:"methods"`
}

// Policy is what callers may do. What no entry allows is denied.
type Policy struct{ entries []Entry }

// NewPolicy checks the entries, all faults at once.
func NewPolicy(entries ...Entry) (*Policy, error) {
	var faults []error
	for i := range entries {
		for _, msg := range entries[i].faults() {
			faults = append(faults, fmt.Errorf("entry %d: %s", i+1, msg))
		}
	}
	return &Policy{entries: slices.Clone(entries)}, errors.Join(faults...)
}

// ParsePolicy reads a list of entries in YAML or JSON. Unknown fields, repeated
// ones and anything after the list are faults; so is an empty file, which is
// more likely one that is being written than one that denies everything: write
// [] for that.
func ParsePolicy(text []byte) (*Policy, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var entries []Entry
	if err := d.Decode(&entries); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the policy is empty; write [] to deny everything")
		}
		return nil, err
	}
	if entries == nil {
		return nil, errors.New("the policy is not a list; write [] to deny everything")
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document")
	}
	var nodes []yaml.Node // again, for the lines
	if err := yaml.Unmarshal(text, &nodes); err != nil || len(nodes) != len(entries) {
		return nil, fmt.Errorf("the policy cannot be read twice: %w", err)
	}
	var faults []error
	for i := range entries {
		for _, msg := range entries[i].faults() {
			faults = append(faults, fmt.Errorf("line %d: %s", nodes[i].Line, msg))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &Policy{entries: entries}, nil
}

func (e *Entry) faults() (f []string) {
	if kind, name := split(e.Identity); name == "" {
		f = append(f, fmt.Sprintf("identity %q names nobody", strings.TrimSuffix(kind+":"+name, ":")))
	}
	if len(e.Paths) == 0 {
		f = append(f, `paths is missing; write ["/"] for all`)
	}
	for _, p := range e.Paths {
		if c, ok := canonical(strings.TrimPrefix(p, "=")); !ok || c != strings.TrimPrefix(p, "=") {
			f = append(f, fmt.Sprintf("path %q is not a canonical path that starts with /", p))
		}
	}
	if len(e.Methods) == 0 {
		f = append(f, `methods is missing; write ["*"] for all`)
	}
	for _, m := range e.Methods {
		if m == "" || m != "*" && strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789") != "" {
			f = append(f, fmt.Sprintf("method %q is not an HTTP method in capitals, or *", m))
		}
	}
	return f
}

// Allows says whether an entry allows the caller this method on this canonical
// path. An entry without an issuer speaks of id's.
func (p *Policy) Allows(id Identity, method, path string) bool {
	return p.allows(&id, id.Issuer, method, path)
}

func (p *Policy) allows(id *Identity, home, method, path string) bool {
	for i := range p.entries {
		e := &p.entries[i]
		issuer := e.Issuer
		if issuer == "" {
			issuer = home
		}
		if issuer == id.Issuer && issuer != "" && e.names(id) && e.onMethod(method) && e.onPath(path) {
			return true
		}
	}
	return false
}

// split gives the kind of an identity, and what is compared.
func split(identity string) (kind, name string) {
	kind, name, ok := strings.Cut(identity, ":")
	if ok && slices.Contains([]string{"user", "sub", "client", "group", "role"}, kind) {
		return kind, name
	}
	return "", identity
}

func (e *Entry) names(id *Identity) bool {
	kind, name := split(e.Identity)
	switch kind {
	case "sub":
		return id.Subject == name
	case "client":
		return id.Client == name
	case "group":
		return slices.Contains(id.Groups, name)
	case "role":
		return slices.Contains(id.Roles, name)
	case "":
		if name == "*" {
			return true
		}
	}
	return id.Name == name
}

func (e *Entry) onMethod(method string) bool {
	for _, m := range e.Methods {
		if m == "*" || m == method || m == "GET" && method == "HEAD" {
			return true
		}
	}
	return false
}

func (e *Entry) onPath(path string) bool {
	for _, p := range e.Paths {
		if exact, ok := strings.CutPrefix(p, "="); ok {
			if path == exact {
				return true
			}
			continue
		}
		prefix := strings.TrimSuffix(p, "/")
		if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}
