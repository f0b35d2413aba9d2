package strict

import (
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Reference is a ${env:NAME} or ${file:PATH} in a text.
type Reference struct {
	Path string // of the field that holds it
	Line int
	Kind string // env | file
	Name string // of the variable, or of the file
}

// References lists the references that the document holds, in its order.
func (n *Node) References() (refs []Reference) {
	if !n.mentions() {
		return nil
	}
	n.walk("", func(path string, x *Node) {
		if x.kind != String {
			return
		}
		for _, p := range split(x.text) {
			if p.kind != "" {
				refs = append(refs, Reference{path, int(x.line), p.kind, p.text})
			}
		}
	})
	return refs
}

// Expand replaces every reference by what lookup answers for it, once: a
// reference within a secret stays text. One newline at the end of a file is
// dropped. A text that holds a reference may afterwards be read as a number or
// as true or false where such is expected.
func (n *Node) Expand(lookup func(kind, name string) (string, error)) model.Faults {
	r := report{}
	if n.root != nil {
		r.file = n.root.file
	}
	if !n.mentions() {
		return nil
	}
	n.walk("", func(path string, x *Node) {
		if x.kind != String || !strings.Contains(x.text, "${") {
			return
		}
		var b strings.Builder
		for _, p := range split(x.text) {
			if p.kind == "" {
				b.WriteString(p.text)
				continue
			}
			x.expanded = true
			if p.text == "" {
				r.add(path, x.line, "has a reference without a name, or without its closing brace; write ${"+p.kind+":NAME}")
				continue
			}
			v, err := lookup(p.kind, p.text)
			if err != nil {
				r.add(path, x.line, "names ${"+p.kind+":"+p.text+"}, which cannot be had: "+err.Error())
				continue
			}
			if p.kind == "file" {
				v = strings.TrimSuffix(strings.TrimSuffix(v, "\n"), "\r")
			}
			b.WriteString(v)
		}
		x.text = b.String()
	})
	return r.faults
}

// mentions spares documents without references, which are most and may be very
// large, the paths of all their nodes.
func (n *Node) mentions() bool {
	if n.kind == String && strings.Contains(n.text, "${") {
		return true
	}
	for i := range n.kids {
		if n.kids[i].mentions() {
			return true
		}
	}
	return false
}

// part is a stretch of plain text (kind "") or the name within a reference.
type part struct{ kind, text string }

// split cuts a text at its references. One that is not closed has no name.
func split(s string) (parts []part) {
	from := 0
	for i := 0; i < len(s); {
		kind := ""
		for _, k := range [...]string{"env", "file"} {
			if strings.HasPrefix(s[i:], "${"+k+":") {
				kind = k
			}
		}
		if kind == "" {
			i++
			continue
		}
		if i > from {
			parts = append(parts, part{"", s[from:i]})
		}
		i += len("${") + len(kind) + len(":")
		name, _, closed := strings.Cut(s[i:], "}")
		if !closed {
			return append(parts, part{kind, ""})
		}
		parts = append(parts, part{kind, name})
		i += len(name) + len("}")
		from = i
	}
	if from < len(s) {
		parts = append(parts, part{"", s[from:]})
	}
	return parts
}
