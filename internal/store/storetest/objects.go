package storetest

import (
	"testing"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func objects(t *testing.T, s store.Store) {
	a := store.Object{Kind: store.KindRoutes, Name: "a", Body: []byte(`{"name":"a"}`), Revision: 3, Updated: at(3), Owner: "file:x"}
	b := store.Object{Kind: store.KindRoutes, Name: "b", Body: []byte(`{}`), Revision: 4, Updated: at(4)}
	other := store.Object{Kind: store.KindServices, Name: "a", Body: []byte(`1`), Revision: 5, Updated: at(5)}
	update(t, s, func(w store.Writer) error {
		for _, o := range []store.Object{b, a, other} {
			if err := w.PutObject(t.Context(), &o); err != nil {
				return err
			}
		}
		got, err := w.Object(t.Context(), store.KindRoutes, "a") // its own writes
		same(t, "in the transaction", got, &a)
		return err
	})
	view(t, s, func(r store.Reader) error {
		list, err := r.ListObjects(t.Context(), store.KindRoutes)
		same(t, "routes", list, []store.Object{a, b})
		_, missing := r.Object(t.Context(), store.KindRoutes, "A")
		wantErr(t, "another name", missing, store.ErrNotFound)
		none, err2 := r.ListObjects(t.Context(), store.KindRoles)
		if len(none) != 0 || err2 != nil {
			t.Errorf("roles: %v, %v", none, err2)
		}
		return err
	})
	changed := a
	changed.Body, changed.Revision, changed.Updated, changed.Owner = []byte(`{"name":"a","x":1}`), 9, at(9), ""
	update(t, s, func(w store.Writer) error {
		if err := w.PutObject(t.Context(), &changed); err != nil {
			return err
		}
		if err := w.DeleteObject(t.Context(), store.KindRoutes, "b"); err != nil {
			return err
		}
		wantErr(t, "deleting it again", w.DeleteObject(t.Context(), store.KindRoutes, "b"), store.ErrNotFound)
		return nil
	})
	view(t, s, func(r store.Reader) error {
		list, err := r.ListObjects(t.Context(), store.KindRoutes)
		same(t, "routes", list, []store.Object{changed})
		return err
	})
}

func bodies(t *testing.T, s store.Store) {
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i * 7)
	}
	for n, body := range map[string][]byte{"empty": {}, "bytes": {0, 0xff, 0, '\n'}, "big": big} {
		update(t, s, func(w store.Writer) error {
			return w.PutObject(t.Context(), &store.Object{Kind: store.KindMeta, Name: n, Body: body})
		})
		view(t, s, func(r store.Reader) error {
			o, err := r.Object(t.Context(), store.KindMeta, n)
			if err == nil && string(o.Body) != string(body) {
				t.Errorf("%s: %d bytes differ", n, len(body))
			}
			if err == nil && !o.Updated.IsZero() {
				t.Errorf("%s: the zero time became %v", n, o.Updated)
			}
			return err
		})
	}
}

func revisions(t *testing.T, s store.Store) {
	view(t, s, func(r store.Reader) error {
		n, err := r.CurrentRevision(t.Context())
		same(t, "the first", n, int64(0))
		return err
	})
	one := &store.Revision{Number: 1, Time: at(1), Actor: "admin", Reason: "why <not>",
		Changes: []model.Change{{Kind: "routes", Name: "a", Action: "create", After: map[string]any{"name": "a"}}}, Restore: []byte{0, 1, 2}}
	next := &store.Revision{Time: at(2), Actor: "boot"}
	update(t, s, func(w store.Writer) error {
		if err := w.AddRevision(t.Context(), one); err != nil {
			return err
		}
		if err := w.AddRevision(t.Context(), next); err != nil {
			return err
		}
		wantErr(t, "a number for the second time", w.AddRevision(t.Context(), &store.Revision{Number: 2, Time: at(3)}), store.ErrExists)
		wantErr(t, "a lower number", w.AddRevision(t.Context(), &store.Revision{Number: 1, Time: at(3)}), store.ErrExists)
		return nil
	})
	same(t, "the number given to the next", next.Number, int64(2))
	view(t, s, func(r store.Reader) error {
		n, err := r.CurrentRevision(t.Context())
		same(t, "current", n, int64(2))
		if err != nil {
			return err
		}
		got, err := r.Revision(t.Context(), 1)
		same(t, "the whole revision", got, one)
		_, missing := r.Revision(t.Context(), 3)
		wantErr(t, "one that is not there", missing, store.ErrNotFound)
		return err
	})
	update(t, s, func(w store.Writer) error {
		for range 48 {
			if err := w.AddRevision(t.Context(), &store.Revision{Time: at(4), Restore: []byte("large")}); err != nil {
				return err
			}
		}
		return nil
	})
	newestFirst(t, s, 50)
}

// newestFirst pages through the revisions from n down.
func newestFirst(t *testing.T, s store.Store, n int64) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		var got []int64
		for before := int64(0); ; {
			list, err := r.ListRevisions(t.Context(), before, 7)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			for _, v := range list {
				got = append(got, v.Number)
				if v.Restore != nil {
					t.Error("a list carries what only rollback needs")
				}
			}
			before = list[len(list)-1].Number
		}
		var want []int64
		for ; n > 0; n-- {
			want = append(want, n)
		}
		same(t, "newest first", got, want)
		return nil
	})
}
