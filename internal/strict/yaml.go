package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
	"go.yaml.in/yaml/v3"
)

// YAML parses one document; file names it in faults. It accepts the part of YAML
// that says what JSON can say: no anchors, aliases or merge keys (a few lines of
// them expand to gigabytes), no tags, no second document, names that are text.
// An empty file is an empty map. The node is nil where the bytes are not YAML.
func YAML(data []byte, file string) (*Node, model.Faults) {
	r := &yamlReader{report{file: file}}
	if !utf8.Valid(data) {
		r.add("", 0, "is not UTF-8 text")
		return nil, r.faults
	}
	doc, err := parseYAML(data)
	if err != nil {
		line, message := yamlMessage(err)
		r.add("", line, message)
		return nil, r.faults
	}
	n := Node{kind: Map, line: 1}
	if doc != nil {
		n = r.convert(doc, "", 0)
		if n.kind == Null {
			n = Node{kind: Map, line: 1}
		}
	}
	n.root = &origin{file: file, yaml: true}
	return &n, r.faults
}

// parseYAML is the content of the one document; nil where there is none. A panic
// of the parser is an error: these bytes may be a stranger's.
func parseYAML(data []byte) (content *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			content, err = nil, fmt.Errorf("yaml: cannot be parsed: %v", p)
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := d.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("yaml: line %d: holds a second document; write one document a file", second.Line)
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, nil
	}
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

func yamlMessage(err error) (int32, string) {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	line, _ := strconv.ParseInt(m[1], 10, 32)
	text = text[len(m[0]):]
	if strings.Contains(text, "cannot start any token") {
		text += " (indent with spaces, never tabs, and quote text that begins with a sign)"
	}
	return int32(line), "is not YAML: " + text
}

type yamlReader struct{ report }

func (r *yamlReader) convert(y *yaml.Node, path string, depth int) Node {
	n := Node{line: int32(y.Line)}
	switch {
	case depth > MaxDepth:
		r.add(path, n.line, "is nested more than "+strconv.Itoa(MaxDepth)+" deep")
		return n
	case y.Kind == yaml.AliasNode:
		r.add(path, n.line, "is an alias (*"+y.Value+"); write the value itself")
		return n
	case y.Anchor != "":
		r.add(path, n.line, "has an anchor (&"+y.Anchor+"); take it away")
	case y.Style&yaml.TaggedStyle != 0:
		r.add(path, n.line, "has a tag ("+y.Tag+"); take it away")
		return n
	}
	switch y.Kind {
	case yaml.MappingNode:
		r.mapping(&n, y, path, depth)
	case yaml.SequenceNode:
		n.kind = List
		n.kids = make([]Node, 0, len(y.Content))
		for i, c := range y.Content {
			n.kids = append(n.kids, r.convert(c, path+"["+strconv.Itoa(i)+"]", depth+1))
		}
	case yaml.ScalarNode:
		r.scalar(&n, y, path)
	}
	return n
}

func (r *yamlReader) mapping(n *Node, y *yaml.Node, path string, depth int) {
	n.kind = Map
	n.kids = make([]Node, 0, len(y.Content)/2)
	var seen map[string]bool
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		at, line := field(path, key.Value), int32(key.Line)
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			r.add(path, line, "merges another value (<<); write its fields themselves")
			continue
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
			r.add(path, line, "has a name that is not plain text")
			continue
		case key.ShortTag() != "!!str" && key.ShortTag() != "!!timestamp":
			r.add(at, line, "is a name that is not text; write it in quotes")
			continue
		}
		if repeated(n, key.Value, &seen) {
			r.add(at, line, "is given twice")
		}
		kid := r.convert(value, at, depth+1)
		kid.name, kid.nameLine = key.Value, line
		n.kids = append(n.kids, kid)
	}
}

func (r *yamlReader) scalar(n *Node, y *yaml.Node, path string) {
	n.text = y.Value
	switch y.ShortTag() {
	case "!!null":
		n.kind = Null
	case "!!bool":
		n.kind, n.plain, n.text = Bool, true, strings.ToLower(y.Value)
	case "!!int", "!!float":
		n.kind, n.plain = Number, true
		if numberLength(y.Value) != len(y.Value) {
			r.add(path, n.line, "is a number in a notation that readers take differently (octal, hexadecimal, underscores, a leading +); write plain decimal, or quotes if it is text")
			n.text = "0"
		}
	default:
		n.kind = String
	}
}
