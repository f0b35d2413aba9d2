package match

import (
	"encoding/binary"
	"regexp"
	"regexp/syntax"
	"slices"
)

// language is the set of paths that a pattern fits, as the program of its
// expression. Compile asks of such sets whether a path exists that is in some and
// not in others; no request does.
type language struct{ prog *syntax.Prog }

func languageOf(re string) *language {
	tree, err := syntax.Parse(re, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil
	}
	return &language{prog}
}

// expressionFor is the anchored expression of the paths that a pattern fits.
func expressionFor(k kind, literal string, re *regexp.Regexp) string {
	q := "^" + regexp.QuoteMeta(literal)
	switch {
	case k == expression:
		return re.String()
	case k == exact:
		return q + "$"
	case literal[len(literal)-1] == '/':
		return q + "(?s:.*)$"
	}
	return q + "(?:/(?s:.*))?$"
}

// position is where a language's automaton may be after some bytes: instructions,
// in order, before the empty ones among them are followed.
type position []uint32

// step follows the empty instructions at a place between prev and next, then the
// byte next; next < 0 is the end, and accepted says that the path may end there.
func (l *language) step(p position, prev, next rune) (after position, accepted bool) {
	flags := syntax.EmptyOpContext(prev, next)
	seen := make(map[uint32]bool, len(p))
	stack := append(position(nil), p...)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch i := &l.prog.Inst[pc]; i.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, i.Out, i.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, i.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(i.Arg)&^flags == 0 {
				stack = append(stack, i.Out)
			}
		case syntax.InstMatch:
			accepted = next < 0
		case syntax.InstFail:
		default:
			if next >= 0 && i.MatchRune(next) {
				after = append(after, i.Out)
			}
		}
	}
	slices.Sort(after)
	return slices.Compact(after), accepted
}

// budget bounds the states that one question may visit; beyond it the question
// stays undecided, and the table keeps to the order of the routes.
const budget = 4096

// state is one node of the search for a path.
type state struct {
	grammar   int
	positions []position
	text      string
}

func (s *state) key() string {
	b := []byte{byte(s.grammar)}
	if s.text != "" && wordByte(s.text[len(s.text)-1]) {
		b[0] |= 0x80
	}
	for _, p := range s.positions {
		for _, pc := range p {
			b = binary.AppendUvarint(b, uint64(pc)+1)
		}
		b = append(b, 0)
	}
	return string(b)
}

func wordByte(c byte) bool { return unreserved[c] && c != '-' && c != '.' && c != '~' || c == '_' }

// witness searches for the shortest path that a request may have, that is in all
// of want and in none of avoid.
func witness(want, avoid []*language, verbatim bool) (path string, found, decided bool) {
	all := append(append([]*language(nil), want...), avoid...)
	first := state{}
	for _, l := range all {
		if l == nil {
			return "", false, false
		}
		first.positions = append(first.positions, position{uint32(l.prog.Start)})
	}
	alphabet := representatives(all)
	seen := map[string]bool{first.key(): true}
	for queue := []state{first}; len(queue) > 0; queue = queue[1:] {
		s := &queue[0]
		if s.ends(want, avoid) {
			return s.text, true, true
		}
		for _, c := range alphabet {
			n, ok := s.after(c, all, len(want), verbatim)
			if !ok || seen[n.key()] {
				continue
			}
			if len(seen) >= budget {
				return "", false, false
			}
			seen[n.key()] = true
			queue = append(queue, n)
		}
	}
	return "", false, true
}

func (s *state) prev() rune {
	if s.text == "" {
		return -1
	}
	return rune(s.text[len(s.text)-1])
}

func (s *state) ends(want, avoid []*language) bool {
	if s.grammar != afterSlash && s.grammar != inSegment {
		return false
	}
	for i, l := range want {
		if _, ok := l.step(s.positions[i], s.prev(), -1); !ok {
			return false
		}
	}
	for i, l := range avoid {
		if _, ok := l.step(s.positions[len(want)+i], s.prev(), -1); ok {
			return false
		}
	}
	return true
}

func (s *state) after(c byte, all []*language, wanted int, verbatim bool) (n state, ok bool) {
	if n.grammar = grammar(s.grammar, c, verbatim); n.grammar < 0 {
		return n, false
	}
	n.text = s.text + string(rune(c))
	n.positions = make([]position, len(all))
	for i, l := range all {
		n.positions[i], _ = l.step(s.positions[i], s.prev(), rune(c))
		if i < wanted && len(n.positions[i]) == 0 {
			return n, false
		}
	}
	return n, true
}

// The states of the grammar of paths that requests can have when they are matched.
const (
	atStart = iota
	afterSlash
	afterDot
	afterDots
	inSegment
	afterPercent
	afterDigit // + the first digit of an escape
)

// grammar gives the state after c, or -1 where no path goes on so.
func grammar(state int, c byte, verbatim bool) int {
	if classes[c] == refused || classes[c] == question || classes[c] == backslash {
		return -1
	}
	switch {
	case state == atStart:
		if c == '/' {
			return afterSlash
		}
		return -1
	case state == afterPercent:
		v, ok := hex(c)
		if !ok || !verbatim && !upperHex(c) {
			return -1
		}
		return afterDigit + int(v)
	case state >= afterDigit:
		low, ok := hex(c)
		v := byte(state-afterDigit)<<4 | low
		if !ok || v == 0 || v == '\\' || !verbatim && (!upperHex(c) || unreserved[v] || v == '/') {
			return -1
		}
		return inSegment
	case c == '/':
		if state == inSegment || verbatim && state == afterSlash {
			return afterSlash
		}
		return -1
	case c == '%':
		return afterPercent
	case c == '.' && state == afterSlash:
		return afterDot
	case c == '.' && state == afterDot:
		return afterDots
	}
	return inSegment
}

// representatives gives one byte of each set that neither the grammar nor any of
// the programs tells apart.
func representatives(all []*language) (list []byte) {
	seen := map[string]bool{}
	var mark []byte
	for c := byte('!'); c < 0x7f; c++ {
		mark = mark[:0]
		if _, digit := hex(c); digit || c == '/' || c == '.' || c == '%' || classes[c] != plain {
			mark = append(mark, c)
		}
		if wordByte(c) {
			mark = append(mark, 'w')
		}
		for _, l := range all {
			for i := range l.prog.Inst {
				switch inst := &l.prog.Inst[i]; inst.Op {
				case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
					bit := byte('0')
					if inst.MatchRune(rune(c)) {
						bit = '1'
					}
					mark = append(mark, bit)
				}
			}
		}
		if !seen[string(mark)] {
			seen[string(mark)] = true
			list = append(list, c)
		}
	}
	return list
}
