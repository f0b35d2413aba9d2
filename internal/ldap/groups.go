package ldap

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport/sallyport/internal/model"
)

// Bounds of what is looked up for one user: groups, and levels of groups of groups. Who
// is in more, or deeper, is refused, for nobody can say which of the rest conditions
// would ask for.
const (
	mostGroups = 1000
	mostLevels = 10
	atOnce     = 50 // groups whose groups are asked for by one question
)

// errMany says that a user cannot be told whole. The directory is none the worse.
var errMany = errors.New("the user is in more groups than are looked up, or than the directory answers")

// groups are the names of the groups that a user is in.
func (d *directory) groups(ctx context.Context, p *model.IdentityProvider, dn, username string) ([]any, error) {
	w := &walk{d: d, p: p, username: username, seen: map[string]bool{}}
	filter, nested := groupFilter(p), p.NestedGroups
	if nested {
		if follows, err := d.followsChains(ctx); err != nil {
			return nil, err
		} else if f, ok := chained(filter); ok && follows {
			filter, nested = f, false
		}
	}
	members := []string{dn}
	for depth := 1; len(members) > 0; depth++ {
		var err error
		if members, err = w.level(ctx, filter, members); err == nil && depth > mostLevels && len(members) > 0 {
			err = errMany
		}
		if err != nil {
			return nil, trouble(stageGroups, d.target.address, err)
		}
		if !nested {
			break
		}
	}
	slices.Sort(w.names)
	out := make([]any, 0, len(w.names))
	for _, n := range slices.Compact(w.names) {
		out = append(out, n)
	}
	return out, nil
}

// walk is one user's way through the groups.
type walk struct {
	d        *directory
	p        *model.IdentityProvider
	username string
	seen     map[string]bool // groups, by their names in one spelling: circles end
	names    []string
}

// level finds the groups that have any of these members, and answers those that
// are new.
func (w *walk) level(ctx context.Context, filter string, members []string) (fresh []string, err error) {
	for part := range slices.Chunk(members, atOnce) {
		var b strings.Builder
		b.WriteString("(|")
		for _, m := range part {
			b.WriteString(fill(filter, w.username, m))
		}
		b.WriteString(")")
		found, more, err := w.d.search(ctx, w.p.GroupBase, b.String(), mostGroups, []string{"cn"})
		if err != nil {
			return nil, err
		}
		if more {
			return nil, errMany
		}
		for _, g := range found {
			key, err := normal(g.DN)
			if err != nil || w.seen[key] {
				continue
			}
			if len(w.seen) >= mostGroups {
				return nil, errMany
			}
			w.seen[key] = true
			fresh = append(fresh, g.DN)
			if cn := g.GetEqualFoldAttributeValue("cn"); cn != "" {
				w.names = append(w.names, cn)
			}
		}
	}
	return fresh, nil
}

// followsChains asks a directory, once, whether it follows groups of groups by
// itself: the OID of Active Directory (and Samba) among its capabilities, or the
// rule itself among what it announces.
func (d *directory) followsChains(ctx context.Context) (bool, error) {
	d.mu.Lock()
	known := d.chains
	d.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	var root *ldap.Entry
	err := d.with(ctx, forSearch, func(c *conn) error {
		res, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 2, false, "(objectClass=*)",
			[]string{"supportedCapabilities", "supportedFeatures"}, nil))
		if err == nil && len(res.Entries) > 0 {
			root = res.Entries[0]
		}
		return err
	})
	if err != nil && !answered(err) {
		return false, trouble(stageGroups, d.target.address, err)
	}
	follows := false
	if root != nil {
		all := append(root.GetEqualFoldAttributeValues("supportedCapabilities"), root.GetEqualFoldAttributeValues("supportedFeatures")...)
		follows = slices.Contains(all, "1.2.840.113556.1.4.800") || slices.Contains(all, inChain)
	}
	d.mu.Lock()
	d.chains = &follows
	d.mu.Unlock()
	return follows, nil
}
