package strict

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
)

// JSON parses one RFC 8259 document. Bytes that are not JSON give no node and
// one fault. Repeated names are JSON and yet ambiguous (two readers, two
// answers): then there is a node, with a fault for each.
func JSON(data []byte) (*Node, model.Faults) {
	p := &jsonParser{s: string(data), line: 1}
	p.space()
	n, ok := p.value(0)
	if ok {
		p.space()
		if p.i < len(p.s) {
			ok = p.stop("has something after its end")
		}
	}
	if !ok {
		return nil, p.faults
	}
	n.root = &origin{}
	return &n, p.faults
}

type jsonParser struct {
	report
	s    string
	i    int
	line int32
	path []step
}

type step struct {
	name  string
	index int // -1 for a name
}

func (p *jsonParser) at() string {
	path := ""
	for _, s := range p.path {
		if s.index >= 0 {
			path += "[" + strconv.Itoa(s.index) + "]"
		} else {
			path = field(path, s.name)
		}
	}
	return path
}

// stop reports what makes the document no JSON. It is the only fault then.
func (p *jsonParser) stop(message string) bool {
	p.faults = nil
	p.add(p.at(), p.line, message)
	return false
}

func (p *jsonParser) space() {
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\n':
			p.line++
		case ' ', '\t', '\r':
		default:
			return
		}
	}
}

func (p *jsonParser) value(depth int) (n Node, ok bool) {
	n.line = p.line
	if depth > MaxDepth {
		return n, p.stop("is nested more than " + strconv.Itoa(MaxDepth) + " deep")
	}
	if p.i >= len(p.s) {
		return n, p.stop("ends too early")
	}
	switch c := p.s[p.i]; {
	case c == '{':
		return n, p.object(&n, depth)
	case c == '[':
		return n, p.array(&n, depth)
	case c == '"':
		n.kind = String
		n.text, ok = p.str()
		return n, ok
	case c == '-' || c >= '0' && c <= '9':
		n.kind, n.plain = Number, true
		l := numberLength(p.s[p.i:])
		if l == 0 {
			return n, p.stop("is not a number as JSON writes it")
		}
		n.text = p.s[p.i : p.i+l]
		p.i += l
		return n, true
	}
	for _, w := range [...]struct {
		word string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if strings.HasPrefix(p.s[p.i:], w.word) {
			p.i += len(w.word)
			n.kind, n.text = w.kind, w.word
			return n, true
		}
	}
	return n, p.stop("is not JSON: a value is expected here")
}

func (p *jsonParser) object(n *Node, depth int) bool {
	n.kind = Map
	p.i++
	p.space()
	if p.take('}') {
		return true
	}
	var seen map[string]bool
	for {
		if p.i >= len(p.s) || p.s[p.i] != '"' {
			return p.stop("is not JSON: a name in double quotes is expected here")
		}
		line := p.line
		name, ok := p.str()
		if !ok {
			return false
		}
		p.path = append(p.path, step{name, -1})
		if repeated(n, name, &seen) {
			p.add(p.at(), line, "is given twice")
		}
		p.space()
		if !p.take(':') {
			return p.stop("is not JSON: a colon is expected after the name")
		}
		p.space()
		kid, ok := p.value(depth + 1)
		if !ok {
			return false
		}
		kid.name, kid.nameLine = name, line
		n.kids = append(n.kids, kid)
		p.path = p.path[:len(p.path)-1]
		p.space()
		if p.take('}') {
			return true
		}
		if !p.take(',') {
			return p.stop("is not JSON: a comma or } is expected here")
		}
		p.space()
	}
}

// repeated says whether the map has the name already; seen is kept once the map
// is large enough for a search to cost.
func repeated(n *Node, name string, seen *map[string]bool) bool {
	if len(n.kids) < 16 {
		return n.Field(name) != nil
	}
	if *seen == nil {
		*seen = make(map[string]bool, 64)
		for i := range n.kids {
			(*seen)[n.kids[i].name] = true
		}
	}
	was := (*seen)[name]
	(*seen)[name] = true
	return was
}

func (p *jsonParser) array(n *Node, depth int) bool {
	n.kind = List
	p.i++
	p.space()
	if p.take(']') {
		return true
	}
	for {
		p.path = append(p.path, step{"", len(n.kids)})
		kid, ok := p.value(depth + 1)
		if !ok {
			return false
		}
		n.kids = append(n.kids, kid)
		p.path = p.path[:len(p.path)-1]
		p.space()
		if p.take(']') {
			return true
		}
		if !p.take(',') {
			return p.stop("is not JSON: a comma or ] is expected here")
		}
		p.space()
	}
}

func (p *jsonParser) take(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// str reads a string in quotes. Without escapes it is a view into the document.
func (p *jsonParser) str() (string, bool) {
	p.i++
	start := p.i
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			s := p.s[start:p.i]
			p.i++
			if !utf8.ValidString(s) {
				return "", p.stop("is not UTF-8")
			}
			return s, true
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.stop("is not JSON: a string holds a raw control character")
		}
	}
	return "", p.stop("is not JSON: a string does not end")
}

func (p *jsonParser) escaped(start int) (string, bool) {
	b := append(make([]byte, 0, 64), p.s[start:p.i]...)
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			if !utf8.Valid(b) {
				return "", p.stop("is not UTF-8")
			}
			return string(b), true
		case c < ' ':
			return "", p.stop("is not JSON: a string holds a raw control character")
		case c != '\\':
			b = append(b, c)
		default:
			r, ok := p.escape()
			if !ok {
				return "", p.stop("is not JSON: an escape in a string is wrong, or half of a surrogate pair")
			}
			b = utf8.AppendRune(b, r)
		}
	}
	return "", p.stop("is not JSON: a string does not end")
}

// escape reads what follows a backslash.
func (p *jsonParser) escape() (rune, bool) {
	if p.i >= len(p.s) {
		return 0, false
	}
	c := p.s[p.i]
	p.i++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), true
	}
	if c != 'u' {
		return 0, false
	}
	r, ok := p.hex()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if !strings.HasPrefix(p.s[p.i:], `\u`) {
		return 0, false
	}
	p.i += 2
	low, ok := p.hex()
	r = utf16.DecodeRune(r, low)
	return r, ok && r != utf8.RuneError
}

func (p *jsonParser) hex() (r rune, ok bool) {
	if p.i+4 > len(p.s) {
		return 0, false
	}
	for _, c := range []byte(p.s[p.i : p.i+4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	p.i += 4
	return r, true
}

// numberLength is how many bytes of s are a JSON number; 0 = it is none.
func numberLength(s string) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return 0
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}
