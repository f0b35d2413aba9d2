package authz

import (
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/model"
)

// Matcher is a compiled path pattern.
type Matcher interface {
	Match(path string) bool
}

// Policy is the authorisation of one configuration: immutable but for its memos,
// and safe for concurrent use. Routes are named by their index in the set.
type Policy struct {
	routes []route
	roles  []role
	byRole map[string]int32
	groups map[string][]int32 // group name → roles; a group without roles has an empty list
	conds  *conditions

	mu     sync.Mutex
	rights map[string]*rights // by packed role numbers, so that users of one role set share one
}

type route struct {
	name   string
	access model.Access
	rules  []rule
}

type rule struct {
	name string
	deny bool // refuse when true, instead of unless true
	when *condition
}

type role struct {
	name        string
	permissions []permission
}

type permission struct {
	role    int32
	label   string   // "role orders-writer, permission 2"
	routes  []string // patterns
	methods methods
	paths   []Matcher
	when    *condition // nil = always
}

// Compile builds the policy of a set that has been validated by itself. paths
// compiles one path pattern. Faults carry the dotted path of what is wrong.
func Compile(set *model.Set, paths func(pattern string) (Matcher, error)) (*Policy, model.Faults) {
	var f model.Faults
	c := compiler{faults: &f, paths: paths, matchers: map[string]Matcher{}}
	p := &Policy{
		routes: make([]route, len(set.Routes)),
		roles:  make([]role, len(set.Roles)),
		byRole: make(map[string]int32, len(set.Roles)),
		groups: make(map[string][]int32, len(set.Groups)),
		rights: map[string]*rights{},
	}
	for i := range set.Roles {
		p.byRole[set.Roles[i].Name] = int32(i)
		p.roles[i] = c.role(int32(i), &set.Roles[i], at("roles", i))
	}
	for i := range set.Groups {
		g := &set.Groups[i]
		ids := make([]int32, 0, len(g.Roles))
		for _, name := range g.Roles {
			if id, ok := p.byRole[name]; ok {
				ids = append(ids, id)
			}
		}
		p.groups[g.Name] = ids
	}
	for i := range set.Routes {
		r := &set.Routes[i]
		p.routes[i].name, p.routes[i].access = r.Name, r.Access
		p.routes[i].rules = c.rules(r.Rules, at("routes", i)+".rules")
	}
	p.conds = c.conds
	if len(f) > 0 {
		return nil, f
	}
	return p, nil
}

type compiler struct {
	faults   *model.Faults
	paths    func(string) (Matcher, error)
	matchers map[string]Matcher
	conds    *conditions // nil until the first expression: building the environment costs
}

func (c *compiler) role(id int32, r *model.Role, path string) role {
	out := role{name: r.Name, permissions: make([]permission, len(r.Permissions))}
	for i := range r.Permissions {
		m, at := &r.Permissions[i], at(path+".permissions", i)
		q := &out.permissions[i]
		q.role = id
		q.label = "role " + r.Name + ", permission " + strconv.Itoa(i+1)
		q.routes = m.Routes
		q.methods = compileMethods(m.Methods)
		for j, pattern := range m.Paths {
			q.paths = append(q.paths, c.matcher(pattern, at+".paths["+strconv.Itoa(j)+"]"))
		}
		if m.When != "" {
			q.when = c.condition(m.When, at+".when")
		}
	}
	return out
}

func (c *compiler) rules(list []model.Rule, path string) []rule {
	var out []rule
	for i := range list {
		r := &list[i]
		text, field := r.Require, ".require"
		if r.Deny != "" {
			text, field = r.Deny, ".deny"
		}
		out = append(out, rule{name: r.Name, deny: r.Deny != "", when: c.condition(text, at(path, i)+field)})
	}
	return out
}

func (c *compiler) matcher(pattern, path string) Matcher {
	if m, ok := c.matchers[pattern]; ok {
		return m
	}
	m, err := c.paths(pattern)
	if err != nil {
		c.faults.Add(path, err.Error())
		return nil
	}
	c.matchers[pattern] = m
	return m
}

func (c *compiler) condition(text, path string) *condition {
	if c.conds == nil {
		conds, err := newConditions()
		if err != nil {
			c.faults.Add(path, "cannot be compiled: "+err.Error())
			return nil
		}
		c.conds = conds
	}
	cond, msg := c.conds.compile(text)
	if msg != "" {
		c.faults.Add(path, msg)
	}
	return cond
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// onRoute says whether the permission speaks of the route.
func (q *permission) onRoute(name string) bool {
	for _, pattern := range q.routes {
		if pattern == "*" || pattern == name ||
			strings.IndexByte(pattern, '*') >= 0 && model.MatchName(pattern, name) {
			return true
		}
	}
	return false
}

func (q *permission) onPath(path string) bool {
	if len(q.paths) == 0 {
		return true
	}
	for _, m := range q.paths {
		if m.Match(path) {
			return true
		}
	}
	return false
}
