package match

import (
	"slices"
	"sort"
	"strings"
)

// exactDegree is above every degree of a prefix or expression.
const exactDegree = 1 << 30

// bucket are the routes that no path tells apart: one literal, one kind. Several
// expressions share one where their literal start is the same.
type bucket struct {
	degree  int // how specific: twice the length of the literal, one more for an expression
	literal string
	entries []entry // by falling number of headers
	store   [1]entry
}

// node is a path down to a segment boundary, in a tree of segments. Most nodes of a
// large table have one child, and most buckets one entry: both are kept where the
// look-up is already reading, since with 10,000 routes each step aside waits for
// memory.
type node struct {
	parent   *node
	size     int    // bytes of the path down to here, without a slash at the end
	segment  string // of the one child
	only     *node
	children map[string]*node // where there are several

	exact, exactSlash *bucket  // "=/a" and "=/a/"
	prefix, slash     *bucket  // "/a" and "/a/"
	expressions       []starts // the longest first
}

// at is the child by that segment, nil where there is none.
func (n *node) at(segment string) *node {
	if n.children != nil {
		return n.children[segment]
	}
	if n.only != nil && n.segment == segment {
		return n.only
	}
	return nil
}

func (n *node) child(segment string) *node {
	c := n.at(segment)
	if c != nil {
		return c
	}
	c = &node{parent: n, size: n.size + 1 + len(segment)}
	switch {
	case n.children != nil:
		n.children[segment] = c
	case n.only != nil:
		n.children = map[string]*node{n.segment: n.only, segment: c}
		n.segment, n.only = "", nil
	default:
		n.segment, n.only = segment, c
	}
	return c
}

func newBucket(degree int, literal string) *bucket {
	b := &bucket{degree: degree, literal: literal}
	b.entries = b.store[:0]
	return b
}

// bucket gives the place of a pattern, and makes it where there is none.
func (n *node) bucket(p *pattern) *bucket {
	cut := strings.LastIndexByte(p.literal, '/')
	last := p.literal[cut+1:]
	at := n
	if cut > 0 {
		for _, s := range strings.Split(p.literal[1:cut], "/") {
			at = at.child(s)
		}
	}
	if p.kind == expression {
		return at.expression(p.literal)
	}
	place := &at.slash
	switch {
	case last == "" && p.kind == exact:
		place = &at.exactSlash
	case last != "":
		if at = at.child(last); p.kind == exact {
			place = &at.exact
		} else {
			place = &at.prefix
		}
	}
	if *place == nil {
		*place = newBucket(2*len(p.literal), p.literal)
		if p.kind == exact {
			(*place).degree = exactDegree
		}
	}
	return *place
}

// starts are expressions by their literal start, all of one length. They are kept
// at the last segment boundary of that start.
type starts struct {
	size    int
	buckets map[string]*bucket
}

func (n *node) expression(literal string) *bucket {
	i := sort.Search(len(n.expressions), func(i int) bool { return n.expressions[i].size <= len(literal) })
	if i == len(n.expressions) || n.expressions[i].size != len(literal) {
		n.expressions = slices.Insert(n.expressions, i, starts{len(literal), map[string]*bucket{}})
	}
	b := n.expressions[i].buckets[literal]
	if b == nil {
		b = newBucket(2*len(literal)+1, literal)
		n.expressions[i].buckets[literal] = b
	}
	return b
}

// cursor walks the buckets whose literal a path begins with, the most specific first.
type cursor struct {
	node  *node
	path  string
	stage uint8
	index int
	below int // size of the child that the walk came up from; 0 = none
}

func cursorAt(n *node, path string) cursor {
	if n == nil || path == "" {
		return cursor{}
	}
	rest := path[1:]
	for {
		segment, more := rest, false
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			segment, more = rest[:i], true
		}
		c := n.at(segment)
		if c == nil {
			break
		}
		n = c
		if !more {
			break
		}
		rest = rest[len(segment)+1:]
	}
	return cursor{node: n, path: path}
}

const (
	stageExact = iota
	stageExpressions
	stageSlash
	stageTie
	stagePrefix
)

func (c *cursor) next() *bucket {
	for c.node != nil {
		n := c.node
		switch c.stage {
		case stageExact:
			c.stage++
			if len(c.path) == n.size && n.exact != nil {
				return n.exact
			}
			if len(c.path) == n.size+1 && n.exactSlash != nil {
				return n.exactSlash
			}
		case stageExpressions:
			if b := c.expression(n.expressions); b != nil {
				return b
			}
			c.stage++
		case stageSlash:
			c.stage++
			if n.slash != nil && len(c.path) > n.size {
				return n.slash
			}
		case stageTie:
			c.stage++
			if n.parent != nil {
				for i := range n.parent.expressions {
					if e := &n.parent.expressions[i]; e.size == n.size {
						if b := e.buckets[c.path[:n.size]]; b != nil {
							return b
						}
					}
				}
			}
		default:
			*c = cursor{node: n.parent, path: c.path, stage: stageExpressions, below: n.size}
			if n.prefix != nil {
				return n.prefix
			}
		}
	}
	return nil
}

// expression gives the next whose literal fits; those as long as the child that the
// walk came from were given there, before its prefix.
func (c *cursor) expression(list []starts) *bucket {
	for c.index < len(list) {
		e := &list[c.index]
		c.index++
		if e.size != c.below && e.size <= len(c.path) {
			if b := e.buckets[c.path[:e.size]]; b != nil {
				return b
			}
		}
	}
	return nil
}
