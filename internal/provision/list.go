package provision

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// List reads one page of a collection, secrets masked.
func (s *Service) List(ctx context.Context, kind string, q Query) (page *Page, err error) {
	switch {
	case q.Limit == 0:
		q.Limit = 100
	case q.Limit < 0 || q.Limit > 1000:
		return nil, queryFault("limit", "is 1 to 1000")
	}
	terms, err := parseFilter(q.Filter)
	if err != nil {
		return nil, queryFault("filter", err.Error())
	}
	at, given, err := parseCursor(kind, q)
	if err != nil {
		return nil, err
	}
	err = s.view(ctx, func(r store.Reader) error {
		if kind == KindUsers {
			page, err = listUsers(ctx, r, q, terms, at)
			return err
		}
		c, ok := collectionOf(kind, "")
		if !ok {
			return notFound("the collections", kind)
		}
		page, err = listObjects(ctx, r, c, q, terms, at, given)
		return err
	})
	return page, err
}

// listUsers leaves all the work to the store, whose indexes answer a page of a
// million users as fast as one of a hundred. That is why no other fields select or sort.
func listUsers(ctx context.Context, r store.Reader, q Query, terms []term, at cursor) (*Page, error) {
	u := store.UserQuery{After: at.Name, Limit: q.Limit + 1}
	switch q.Sort {
	case "", "username", "name":
	case "-username", "-name":
		u.Descending = true
	default:
		return nil, queryFault("sort", quote(q.Sort)+" is not a field to sort users by; they are sorted by username or -username")
	}
	seen := map[string]bool{}
	for _, t := range terms {
		field, err := userTerm(&u, t)
		if err != nil {
			return nil, err
		}
		if seen[field] {
			return nil, queryFault("filter", quote(t.field)+" is given twice")
		}
		seen[field] = true
	}
	list, err := r.ListUsers(ctx, u)
	if err != nil {
		return nil, err
	}
	p := &Page{Items: []Object{}}
	for i := range list {
		if i == q.Limit {
			p.NextCursor = cursor{Name: model.FoldUsername(list[i-1].User.Username)}.String(KindUsers, q)
			break
		}
		p.Items = append(p.Items, *userObject(&list[i]))
	}
	return p, nil
}

// userTerm adds a condition to the store's query. An empty text would be no
// condition to the store, and so everything.
func userTerm(u *store.UserQuery, t term) (field string, err error) {
	text, isText := t.value.(string)
	if t.field == "active" {
		v, ok := t.value.(bool)
		if !ok {
			return "", queryFault("filter", "active is compared with true or false")
		}
		u.Active = &v
		return t.field, nil
	}
	into, ok := map[string]*string{"username": &u.Username, "name": &u.Username, "email": &u.Email, "emails": &u.Email,
		"group": &u.Group, "groups": &u.Group, "role": &u.Role, "roles": &u.Role, "kind": (*string)(&u.Kind)}[t.field]
	switch {
	case !ok:
		return "", queryFault("filter", quote(t.field)+" is not a field to filter users by; the fields are username, kind, active, email, group, role")
	case !isText || text == "":
		return "", queryFault("filter", t.field+" is compared with a text that is not empty")
	}
	*into = text
	return fmt.Sprintf("%p", into), nil
}

type listed struct {
	object Object
	key    string
}

func listObjects(ctx context.Context, r store.Reader, c collection, q Query, terms []term, at cursor, given bool) (*Page, error) {
	fields := filterFields(c.fresh(), c.secrets != nil)
	if err := resolveFields(terms, fields); err != nil {
		return nil, err
	}
	field, down := strings.CutPrefix(cmp.Or(q.Sort, "name"), "-")
	if sortable := append([]string{"createdAt", "updatedAt"}, fields...); !slices.Contains(sortable, field) {
		return nil, queryFault("sort", quote(field)+" is not a field to sort by; the fields are "+strings.Join(sortable, ", "))
	}
	stored, err := r.ListObjects(ctx, c.kind)
	if err != nil {
		return nil, err
	}
	var all []listed
	for i := range stored {
		o, err := c.shown(&stored[i], "")
		if err != nil {
			return nil, err
		}
		m, err := asMap(o.Value)
		if err != nil {
			return nil, err
		}
		if _, ok := m["updatedAt"]; !ok {
			m["updatedAt"] = stored[i].Updated.UTC().Format("2006-01-02T15:04:05.000000Z")
		}
		if holds(m, terms) {
			all = append(all, listed{*o, sortKey(m[field])})
		}
	}
	order := func(a, b listed) int {
		if n := cmp.Compare(a.key, b.key); n != 0 {
			return n
		}
		return cmp.Compare(a.object.Name, b.object.Name)
	}
	if down {
		up := order
		order = func(a, b listed) int { return up(b, a) }
	}
	slices.SortFunc(all, order)
	return pageOf(all, c.kind, q, order, at, given), nil
}

func pageOf(all []listed, kind string, q Query, order func(a, b listed) int, at cursor, given bool) *Page {
	p := &Page{Items: []Object{}}
	last := listed{object: Object{Name: at.Name}, key: at.Key}
	for _, o := range all {
		if given && order(o, last) <= 0 {
			continue
		}
		if len(p.Items) == q.Limit {
			end := p.Items[q.Limit-1]
			p.NextCursor = cursor{Key: last.key, Name: end.Name}.String(kind, q)
			break
		}
		p.Items = append(p.Items, o.object)
		if len(p.Items) == q.Limit {
			last, given = o, false
		}
	}
	return p
}

func sortKey(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return fmt.Sprintf("%020.3f", v)
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}
