package authz

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/model"
)

// Subject is a caller's effective rights under one policy. It is immutable, and
// may be shared by any number of requests with the same credential.
type Subject struct {
	groups []string
	roles  []string
	rights *rights

	narrow     bool
	scopeRoles []int32 // roles that the scopes name and the user has
	scopePairs []pair
}

// pair is a scope of the form route:METHOD.
type pair struct {
	route   string // pattern
	methods methods
}

// rights are the permissions of one set of roles, sorted out by route as routes
// are asked for: neither making a subject nor a reload walks all routes.
type rights struct {
	roles  []int32
	chunks []atomic.Pointer[chunk]
}

const chunkSize = 64

type chunk [chunkSize]atomic.Pointer[[]*permission]

// maxRights bounds how many role sets are shared. Beyond it one is forgotten,
// which only costs memory while subjects still hold it.
const maxRights = 1024

// Subject finds the effective rights of a user: its own roles, those of its
// groups, and extraRoles, which its provider gives. Names of groups and roles
// that do not exist here are dropped: a name means nothing by itself, and one
// that merely contains another's means nothing either (hoop PR #128). With
// narrow, the scopes are all that is left: a role the user has, or route:METHOD.
func (p *Policy) Subject(user *model.User, extraRoles []string, scopes []string, narrow bool) *Subject {
	s := &Subject{narrow: narrow}
	var ids []int32
	if user != nil {
		ids = p.addRoles(ids, user.Roles)
		for _, g := range user.Groups {
			granted, ok := p.groups[g]
			if !ok || slices.Contains(s.groups, g) {
				continue
			}
			s.groups = append(s.groups, g)
			for _, id := range granted {
				ids = addID(ids, id)
			}
		}
		ids = p.addRoles(ids, extraRoles)
	}
	if len(ids) > 0 {
		s.roles = make([]string, len(ids))
		for i, id := range ids {
			s.roles[i] = p.roles[id].name
		}
	}
	if narrow {
		s.scope(p, ids, scopes)
	}
	slices.Sort(ids)
	s.rights = p.rightsOf(ids)
	return s
}

// Groups are the groups that exist here, in the user's order.
func (s *Subject) Groups() []string { return s.groups }

// Roles are the effective roles: direct ones first, then the groups'.
func (s *Subject) Roles() []string { return s.roles }

func (p *Policy) addRoles(ids []int32, names []string) []int32 {
	for _, n := range names {
		if id, ok := p.byRole[n]; ok {
			ids = addID(ids, id)
		}
	}
	return ids
}

func addID(ids []int32, id int32) []int32 {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}

// scope reads the scopes. What is neither a role of the user's nor a well-formed
// pair gives nothing.
func (s *Subject) scope(p *Policy, ids []int32, scopes []string) {
	for _, text := range scopes {
		i := strings.LastIndexByte(text, ':')
		if i < 0 {
			if id, ok := p.byRole[text]; ok && slices.Contains(ids, id) {
				s.scopeRoles = addID(s.scopeRoles, id)
			}
			continue
		}
		if i > 0 && i < len(text)-1 {
			s.scopePairs = append(s.scopePairs, pair{
				route:   strings.Clone(text[:i]),
				methods: compileMethods([]string{strings.Clone(text[i+1:])}),
			})
		}
	}
}

// paired says whether a route:METHOD scope covers the request.
func (s *Subject) paired(route string, bit uint16, method string) bool {
	for i := range s.scopePairs {
		q := &s.scopePairs[i]
		if q.methods.has(bit, method) && model.MatchName(q.route, route) {
			return true
		}
	}
	return false
}

// rightsOf shares one rights between all subjects of the same sorted roles.
func (p *Policy) rightsOf(ids []int32) *rights {
	key := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		key = binary.LittleEndian.AppendUint32(key, uint32(id))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.rights[string(key)]; ok {
		return r
	}
	if len(p.rights) >= maxRights {
		for k := range p.rights {
			delete(p.rights, k)
			break
		}
	}
	r := &rights{roles: ids, chunks: make([]atomic.Pointer[chunk], (len(p.routes)+chunkSize-1)/chunkSize)}
	p.rights[string(key)] = r
	return r
}

// on lists the permissions that speak of the route, those without a condition
// first, so that no condition is evaluated where none need be.
func (r *rights) on(p *Policy, n int) []*permission {
	slot := &r.chunks[n/chunkSize]
	c := slot.Load()
	if c == nil {
		c = new(chunk)
		if !slot.CompareAndSwap(nil, c) {
			c = slot.Load()
		}
	}
	if list := c[n%chunkSize].Load(); list != nil {
		return *list
	}
	name := p.routes[n].name
	var plain, conditional []*permission
	for _, id := range r.roles {
		for i := range p.roles[id].permissions {
			q := &p.roles[id].permissions[i]
			switch {
			case !q.onRoute(name):
			case q.when == nil:
				plain = append(plain, q)
			default:
				conditional = append(conditional, q)
			}
		}
	}
	list := append(plain, conditional...)
	c[n%chunkSize].Store(&list)
	return list
}
