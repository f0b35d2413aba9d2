package strict

import (
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// LineOf is the line of the field at path, or of the nearest one above it that the
// document holds: a field that is missing is missed from its parent.
func (n *Node) LineOf(path string) int {
	line := int(n.line)
	for path != "" {
		kid, rest := n.step(path)
		if kid == nil {
			return line
		}
		n, path = kid, rest
		line = int(n.line)
		if n.nameLine > 0 {
			line = int(n.nameLine)
		}
	}
	return line
}

// step takes the first part off path: the child it names, and what is left. A
// name may itself hold dots, as a header's in a map does.
func (n *Node) step(path string) (*Node, string) {
	if n.kind == List {
		inner, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
		i, err := strconv.Atoi(inner)
		if !ok || err != nil || i < 0 || i >= len(n.kids) {
			return nil, ""
		}
		return &n.kids[i], strings.TrimPrefix(rest, ".")
	}
	var best *Node
	rest := ""
	for i := range n.kids {
		after, ok := strings.CutPrefix(path, n.kids[i].name)
		if !ok || len(after) == len(path) || after != "" && after[0] != '.' && after[0] != '[' {
			continue
		}
		if best == nil || len(after) < len(rest) {
			best, rest = &n.kids[i], after
		}
	}
	return best, strings.TrimPrefix(rest, ".")
}

// Locate gives faults that were found in what the document says its file and
// their lines.
func (n *Node) Locate(f model.Faults) model.Faults {
	for i := range f {
		if f[i].Line == 0 {
			f[i].Line = n.LineOf(f[i].Path)
		}
		if f[i].File == "" && n.root != nil {
			f[i].File = n.root.file
		}
	}
	return f
}
