package match

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

type kind uint8

const (
	prefix kind = iota
	exact
	expression
)

// pattern is a path of a route or permission: a prefix on a segment boundary, an
// exact path, or a regular expression that matches the whole path.
type pattern struct {
	kind    kind
	literal string // the path, or what every match of the expression starts with
	inner   string // the expression less its anchors
	re      *regexp.Regexp
}

// Matcher is a compiled path pattern of a permission.
type Matcher struct{ pattern }

// Pattern compiles a permission's path. It is canonicalised as paths are; one that
// only a verbatim route can serve is taken as it is written.
func Pattern(p string) (*Matcher, error) {
	c, fault := parsePattern(p, false)
	if fault == onlyVerbatim {
		c, fault = parsePattern(p, true)
	}
	if fault != "" {
		return nil, errors.New(fault)
	}
	return &Matcher{c}, nil
}

// Match says whether path, in the form that was matched, fits the pattern.
func (m *Matcher) Match(path string) bool {
	switch m.kind {
	case exact:
		return path == m.literal
	case expression:
		return strings.HasPrefix(path, m.literal) && m.re.MatchString(path)
	}
	return under(path, m.literal)
}

// under says whether path is at or below literal, on a segment boundary: a literal
// suffix or prefix test without it has let /administrator in by /admin.
func under(path, literal string) bool {
	return strings.HasPrefix(path, literal) &&
		(len(path) == len(literal) || literal[len(literal)-1] == '/' || path[len(literal)] == '/')
}

const onlyVerbatim = "has %2F, or ; in a segment with dots, which only a route with path: verbatim can match"

// parsePattern reads a pattern; fault says what is wrong with it.
func parsePattern(p string, verbatim bool) (c pattern, fault string) {
	if msg := model.PathPatternFault(p); msg != "" {
		return c, msg
	}
	if p[0] == '~' {
		return parseExpression(p, verbatim)
	}
	if p[0] == '=' {
		c.kind, p = exact, p[1:]
	}
	path, e := ParseTarget(p, nil)
	switch {
	case e != nil:
		return c, "matches no path: " + e.Message
	case path.dots:
		return c, "has a dot segment, which is refused on every route"
	case verbatim:
		c.literal = path.Raw
	case path.Ambiguous:
		return c, onlyVerbatim
	default:
		c.literal = path.Canonical
	}
	return c, ""
}

func parseExpression(p string, verbatim bool) (c pattern, fault string) {
	c.kind, c.inner = expression, p[2:len(p)-1]
	if slashes := len(c.inner) - len(strings.TrimRight(c.inner, `\`)); slashes%2 == 1 {
		return c, "is a regular expression that is not anchored: its $ is escaped; write ~^/…$"
	}
	if !verbatim {
		c.inner = canonicalEscapes(c.inner)
	}
	// In ^/a|/b$ each half is anchored at one end only: the whole is anchored here
	// (compare CVE-2025-54576).
	re, err := regexp.Compile(`^(?:` + c.inner + `)$`)
	if err != nil {
		return c, "is not a regular expression: " + err.Error()
	}
	c.re = re
	if c.literal = "/"; !verbatim || c.inner != "" {
		if tree, err := syntax.Parse(c.inner, syntax.Perl); err == nil {
			c.literal, _ = literalStart(tree)
		}
	}
	if !strings.HasPrefix(c.literal, "/") { // such as ^/?x$: every path starts so all the same
		c.literal = "/"
	}
	return c, ""
}

// literalStart is what every match of re starts with; whole says that it is all of
// the match.
func literalStart(re *syntax.Regexp) (lit string, whole bool) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return "", false
		}
		return string(re.Rune), true
	case syntax.OpCapture:
		return literalStart(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			l, w := literalStart(sub)
			if lit += l; !w {
				return lit, false
			}
		}
		return lit, true
	case syntax.OpPlus:
		lit, _ = literalStart(re.Sub[0])
		return lit, false
	case syntax.OpRepeat:
		if re.Min > 0 {
			lit, _ = literalStart(re.Sub[0])
		}
		return lit, false
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine:
		return "", true
	}
	return "", false
}

// canonicalEscapes rewrites the escapes in an expression as ParseTarget does those
// of a path, so that %7e, %7E and ~ are one there too.
func canonicalEscapes(re string) string {
	var b strings.Builder
	for i := 0; i < len(re); i++ {
		v, ok := byte(0), false
		if re[i] == '%' {
			v, ok = escape(re, i)
		}
		switch {
		case !ok:
			b.WriteByte(re[i])
			continue
		case unreserved[v]:
			b.WriteString(regexp.QuoteMeta(string(rune(v))))
		default:
			b.WriteString(strings.ToUpper(re[i : i+3]))
		}
		i += 2
	}
	return b.String()
}
