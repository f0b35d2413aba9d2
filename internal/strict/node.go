package strict

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Kind is what a Node holds.
type Kind uint8

// The kinds of node.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Map
)

// MaxDepth is how deep lists and maps may be nested. Nothing that is meant comes
// near it; what is deeper aims at the stack.
const MaxDepth = 64

// maxFaults bounds a report, so that a hostile file cannot make one larger than itself.
const maxFaults = 100

// Node is one value of a parsed document, with its line.
type Node struct {
	name     string // within a Map
	text     string // String: its value; Number, Bool: the literal
	kids     []Node // of a List or Map, in order
	line     int32
	nameLine int32
	kind     Kind
	plain    bool // a number or word that YAML would read as text in quotes
	expanded bool // text that came from a reference, which may stand for a number
	root     *origin
}

// origin is what all nodes of one document share; only the root carries it.
type origin struct {
	file string
	yaml bool
}

// Kind says what the node holds.
func (n *Node) Kind() Kind { return n.kind }

// Line is where the node begins, from 1.
func (n *Node) Line() int { return int(n.line) }

// Text is the value of a String, and the literal of a Number or Bool.
func (n *Node) Text() string { return n.text }

// Field finds a field of a Map; nil where there is none.
func (n *Node) Field(name string) *Node {
	if n.kind != Map {
		return nil
	}
	for i := range n.kids {
		if n.kids[i].name == name {
			return &n.kids[i]
		}
	}
	return nil
}

// SetText sets a field of a Map to a text, replacing or adding it.
func (n *Node) SetText(name, value string) {
	if n.kind != Map {
		return
	}
	if f := n.Field(name); f != nil {
		*f = Node{name: name, kind: String, text: value, line: f.line, nameLine: f.nameLine}
		return
	}
	n.kids = append(n.kids, Node{name: name, kind: String, text: value, line: n.line, nameLine: n.line})
}

// Drop takes a field out of a Map.
func (n *Node) Drop(name string) {
	n.kids = slices.DeleteFunc(n.kids, func(k Node) bool { return n.kind == Map && k.name == name })
}

// Any is the node as encoding/json would have it: map[string]any, []any, string,
// bool, nil, float64; a whole number that float64 cannot hold stays a json.Number.
func (n *Node) Any() any {
	switch n.kind {
	case Bool:
		return n.text == "true"
	case Number:
		if f, exact := float(n.text); exact {
			return f
		}
		return json.Number(strings.Clone(n.text))
	case String:
		return strings.Clone(n.text)
	case List:
		out := make([]any, len(n.kids))
		for i := range n.kids {
			out[i] = n.kids[i].Any()
		}
		return out
	case Map:
		out := make(map[string]any, len(n.kids))
		for i := range n.kids {
			out[strings.Clone(n.kids[i].name)] = n.kids[i].Any()
		}
		return out
	}
	return nil
}

// MarshalJSON writes the node back, numbers digit by digit as they were.
func (n *Node) MarshalJSON() ([]byte, error) { return n.appendJSON(nil), nil }

func (n *Node) appendJSON(b []byte) []byte {
	switch n.kind {
	case Bool, Number:
		return append(b, n.text...)
	case String:
		return appendString(b, n.text)
	case List:
		b = append(b, '[')
		for i := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = n.kids[i].appendJSON(b)
		}
		return append(b, ']')
	case Map:
		b = append(b, '{')
		for i := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, n.kids[i].name), ':')
			b = n.kids[i].appendJSON(b)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

func appendString(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string cannot fail
	return append(b, q...)
}

// MergePatch is n changed as RFC 7396 says: a null takes a field away, a map
// goes into a map, anything else replaces. n and patch are not changed.
func (n *Node) MergePatch(patch *Node) *Node {
	out := n.merge(patch)
	out.root = n.root
	return &out
}

func (n *Node) merge(patch *Node) Node {
	if patch.kind != Map {
		return *patch
	}
	out := Node{name: patch.name, kind: Map, line: patch.line, nameLine: patch.nameLine}
	if n != nil && n.kind == Map {
		for i := range n.kids {
			if patch.Field(n.kids[i].name) == nil {
				out.kids = append(out.kids, n.kids[i])
			}
		}
	}
	for i := range patch.kids {
		p := &patch.kids[i]
		if p.kind == Null {
			continue
		}
		var old *Node
		if n != nil {
			old = n.Field(p.name)
		}
		kid := old.merge(p)
		kid.name = p.name
		out.kids = append(out.kids, kid)
	}
	return out
}

// walk visits every node below n with its path, depth first.
func (n *Node) walk(path string, visit func(path string, n *Node)) {
	visit(path, n)
	for i := range n.kids {
		n.kids[i].walk(below(path, n, i), visit)
	}
}

func below(path string, n *Node, i int) string {
	if n.kind == List {
		return path + "[" + strconv.Itoa(i) + "]"
	}
	return field(path, n.kids[i].name)
}

func field(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// report gathers faults up to a bound.
type report struct {
	file   string
	faults model.Faults
}

func (r *report) add(path string, line int32, message string) {
	switch {
	case len(r.faults) < maxFaults:
		r.faults = append(r.faults, model.Fault{Path: path, Message: message, File: r.file, Line: int(line)})
	case len(r.faults) == maxFaults:
		r.faults = append(r.faults, model.Fault{Message: "and more faults, which are not listed", File: r.file, Line: int(line)})
	}
}
