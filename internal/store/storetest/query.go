package storetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// crowd is 300 users in whom kinds, activity, groups, roles and addresses mix.
func crowd() []*store.UserRecord {
	var list []*store.UserRecord
	for i := range 300 {
		r := record(name(i)+"-id", strings.ToUpper(name(i)))
		u := &r.User
		u.Kind = []model.Kind{model.Person, model.Application, model.ServiceUser}[i%7%3]
		u.Active = i%5 != 0
		if i%2 == 0 {
			u.Groups = append(u.Groups, "even")
		}
		if i%3 == 0 {
			u.Groups = append(u.Groups, "third")
		}
		if i%4 == 0 {
			u.Roles = []string{"reader"}
		}
		u.Emails = []string{[]string{"One@example.com", "two@example.com"}[i%2]}
		list = append(list, r)
	}
	return list
}

// selects is the plain reading of a query.
func selects(q store.UserQuery, u *model.User) bool {
	folds := func(list []string, v string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, v) })
	}
	return (q.Username == "" || strings.EqualFold(q.Username, u.Username)) &&
		(q.Email == "" || folds(u.Emails, q.Email)) &&
		(q.Group == "" || slices.Contains(u.Groups, q.Group)) &&
		(q.Role == "" || slices.Contains(u.Roles, q.Role)) &&
		(q.Kind == "" || q.Kind == u.Kind) &&
		(q.Active == nil || *q.Active == u.Active)
}

// filters asks every combination of conditions, both ways, whole and in pages,
// and compares with the plain reading.
func filters(t *testing.T, s store.Store) {
	all := crowd()
	put(t, s, all...)
	yes, no := true, false
	var queries []store.UserQuery
	for _, username := range []string{"", "User00012", "nobody"} {
		for _, email := range []string{"", "oNe@example.com", "three@example.com"} {
			for _, group := range []string{"", "even", "EVEN"} {
				for _, role := range []string{"", "reader"} {
					for _, kind := range []model.Kind{"", model.Person, model.Application} {
						for _, active := range []*bool{nil, &yes, &no} {
							queries = append(queries, store.UserQuery{Username: username, Email: email, Group: group, Role: role, Kind: kind, Active: active})
						}
					}
				}
			}
		}
	}
	view(t, s, func(r store.Reader) error {
		for i, q := range queries {
			var want []string
			for _, rec := range all {
				if selects(q, &rec.User) {
					want = append(want, rec.User.Username)
				}
			}
			n, err := r.CountUsers(t.Context(), q)
			if err != nil {
				return err
			}
			if int(n) != len(want) {
				t.Fatalf("%+v: counted %d, want %d", q, n, len(want))
			}
			q.Descending = i%2 == 1
			if q.Descending {
				slices.Reverse(want)
			}
			if got := page(t, r, q, 37); !slices.Equal(got, want) {
				t.Fatalf("%+v: got %d %v, want %d", q, len(got), got, len(want))
			}
		}
		return nil
	})
}

// page walks through a query page by page.
func page(t *testing.T, r store.Reader, q store.UserQuery, size int) []string {
	t.Helper()
	var got []string
	q.Limit = size
	for {
		list, err := r.ListUsers(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, usernamesOf(list)...)
		if len(list) < size {
			return got
		}
		q.After = model.FoldUsername(list[len(list)-1].User.Username)
	}
}

func pages(t *testing.T, s store.Store) {
	all := crowd()
	shuffled := slices.Clone(all)
	for i := range shuffled {
		j := i * 7919 % len(shuffled)
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	}
	put(t, s, shuffled...)
	var want []string
	for _, r := range all {
		want = append(want, r.User.Username)
	}
	view(t, s, func(r store.Reader) error {
		for _, size := range []int{1, 7, 100, 299, 300, 301, 1000} {
			same(t, "pages", page(t, r, store.UserQuery{}, size), want)
		}
		list, err := r.ListUsers(t.Context(), store.UserQuery{})
		same(t, "without a limit", usernamesOf(list), want)
		n, err2 := r.CountUsers(t.Context(), store.UserQuery{After: name(200), Limit: 3})
		if n != 300 || err2 != nil {
			t.Errorf("a page's bounds count: %d, %v", n, err2)
		}
		return err
	})
	// A cursor stands on a name, not on a number: what comes and goes before it
	// neither repeats nor hides anybody behind it.
	update(t, s, func(w store.Writer) error {
		if err := w.DeleteUser(t.Context(), name(10)+"-id"); err != nil {
			return err
		}
		return w.PutUser(t.Context(), record("early", "aaa"))
	})
	view(t, s, func(r store.Reader) error {
		list, err := r.ListUsers(t.Context(), store.UserQuery{After: name(10), Limit: 1}) // the one that is gone
		same(t, "the next", usernamesOf(list), []string{strings.ToUpper(name(11))})
		return err
	})
}
