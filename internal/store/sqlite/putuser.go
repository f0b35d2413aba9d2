package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// name is a credential's public name as a row of the credentials table.
type name struct{ kind, name, subject string }

func nameOf(k directory.Key) name {
	switch k.By {
	case directory.ByKeyID:
		return name{"key", k.A, ""}
	case directory.ByLink:
		return name{"link", k.A, k.B}
	case directory.ByCertificate:
		return name{"certificate/" + k.A, k.B, ""}
	}
	return name{}
}

// named is a credential that a name leads to.
type named struct {
	name
	credential string
}

// row is a user as the tables hold it.
type row struct {
	rec    *store.UserRecord
	folded string
	doc    string
	names  []named
}

// newRow makes the user's row. What arrives in a credential but must not be kept
// is left out of the document here, whatever the caller did.
func newRow(rec *store.UserRecord) (*row, error) {
	u := rec.User
	if u.ID == "" {
		return nil, errors.New("writing a user: it has no id")
	}
	if !utf8.ValidString(u.Username) || u.Username == "" {
		return nil, fmt.Errorf("writing user %q: its username is empty or not UTF-8", u.Username)
	}
	r := &row{rec: rec, folded: model.FoldUsername(u.Username)}
	u.Credentials = slices.Clone(u.Credentials)
	for i := range u.Credentials {
		c := &u.Credentials[i]
		if c.Password != "" && c.Hash == "" {
			return nil, fmt.Errorf("writing user %q: a password arrived without its hash", u.Username)
		}
		c.Password, c.Secret = "", ""
		k, ok := directory.CredentialKey(c)
		if !ok {
			continue
		}
		if !utf8.ValidString(k.A) || !utf8.ValidString(k.B) { // JSON would alter it
			return nil, fmt.Errorf("writing user %q: the name of credential %q is not UTF-8", u.Username, c.ID)
		}
		n := named{nameOf(k), c.ID}
		if slices.ContainsFunc(r.names, func(o named) bool { return o.name == n.name }) {
			return nil, fmt.Errorf("writing user %q: two of its credentials have one name: %w", u.Username, store.ErrExists)
		}
		r.names = append(r.names, n)
	}
	doc, err := json.Marshal(&u)
	if err != nil {
		return nil, fmt.Errorf("writing user %q: %w", u.Username, err)
	}
	r.doc = string(doc)
	return r, nil
}

// PutUser replaces the user of that id, or adds it. When it fails with ErrExists
// it has changed nothing, and the transaction may go on.
func (tx *session) PutUser(ctx context.Context, rec *store.UserRecord) error {
	r, err := newRow(rec)
	if err != nil {
		return err
	}
	owners, err := tx.owners(ctx, r)
	if err != nil {
		return err
	}
	if len(owners) == 0 { // most likely new: try without looking
		num, err := tx.insertUser(ctx, r)
		if err == nil {
			return tx.addNames(ctx, num, r)
		}
		if !taken(err) {
			return err
		}
	}
	old, num, err := tx.oldRow(ctx, rec.User.ID)
	if err != nil {
		return err
	}
	for _, o := range owners {
		if old == nil || o.num != num {
			return fmt.Errorf("user %q: the %s %q belongs to another user: %w", rec.User.Username, o.kind, o.name.name, store.ErrExists)
		}
	}
	if old == nil { // its id is free, so it was the username that is not
		return fmt.Errorf("user %q: the username is taken: %w", rec.User.Username, store.ErrExists)
	}
	return tx.replaceUser(ctx, num, old, r)
}

// owner is whom a name leads to already.
type owner struct {
	name
	num int64
}

func (tx *session) owners(ctx context.Context, r *row) ([]owner, error) {
	var list []owner
	for _, n := range r.names {
		o := owner{name: n.name}
		ok, err := tx.row(ctx, `SELECT num FROM credentials WHERE kind = ? AND name = ? AND subject = ?`,
			[]any{n.kind, n.name.name, n.subject}, &o.num)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, o)
		}
	}
	return list, nil
}

func (tx *session) oldRow(ctx context.Context, id string) (*row, int64, error) {
	var num int64
	var doc []byte
	ok, err := tx.row(ctx, `SELECT num, doc FROM users WHERE id = ?`, []any{id}, &num, &doc)
	if err != nil || !ok {
		return nil, 0, err
	}
	rec := &store.UserRecord{}
	if err := readDoc(doc, &rec.User); err != nil {
		return nil, 0, err
	}
	r, err := newRow(rec)
	return r, num, err
}

func (r *row) columns() []any {
	u := &r.rec.User
	var expires any
	if u.ExpiresAt != nil {
		expires = micros(*u.ExpiresAt)
	}
	return []any{r.folded, string(u.Kind), number(u.Active), expires, r.rec.Revision, r.rec.Owner,
		micros(u.CreatedAt), micros(u.UpdatedAt), r.doc, u.ID}
}

func (tx *session) insertUser(ctx context.Context, r *row) (int64, error) {
	res, err := tx.exec(ctx, `INSERT INTO users (folded, kind, active, expires, revision, owner, created, updated, doc, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.columns()...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

func (tx *session) replaceUser(ctx context.Context, num int64, old, r *row) error {
	_, err := tx.exec(ctx, `UPDATE users SET folded = ?, kind = ?, active = ?, expires = ?, revision = ?, owner = ?,
		created = ?, updated = ?, doc = ? WHERE id = ?`, r.columns()...)
	if taken(err) {
		return fmt.Errorf("user %q: the username is taken: %w", r.rec.User.Username, store.ErrExists)
	}
	if err != nil {
		return err
	}
	if err := tx.dropNames(ctx, old); err != nil {
		return err
	}
	return tx.addNames(ctx, num, r)
}

// lists are the tables that lead from a word to users.
func (r *row) lists() []struct {
	insert, remove string
	words          []string
} {
	u := &r.rec.User
	emails := make([]string, 0, len(u.Emails))
	for _, e := range u.Emails {
		emails = append(emails, model.FoldUsername(e))
	}
	return []struct {
		insert, remove string
		words          []string
	}{
		{`INSERT OR IGNORE INTO user_groups (name, folded, num) VALUES (?, ?, ?)`, `DELETE FROM user_groups WHERE name = ? AND folded = ?`, u.Groups},
		{`INSERT OR IGNORE INTO user_roles (name, folded, num) VALUES (?, ?, ?)`, `DELETE FROM user_roles WHERE name = ? AND folded = ?`, u.Roles},
		{`INSERT OR IGNORE INTO user_emails (name, folded, num) VALUES (?, ?, ?)`, `DELETE FROM user_emails WHERE name = ? AND folded = ?`, emails},
	}
}

func (tx *session) addNames(ctx context.Context, num int64, r *row) error {
	for _, l := range r.lists() {
		for _, w := range l.words {
			if _, err := tx.exec(ctx, l.insert, w, r.folded, num); err != nil {
				return err
			}
		}
	}
	for _, n := range r.names {
		if _, err := tx.exec(ctx, `INSERT INTO credentials (kind, name, subject, num, credential) VALUES (?, ?, ?, ?, ?)`,
			n.kind, n.name.name, n.subject, num, n.credential); err != nil {
			return err
		}
	}
	return nil
}

func (tx *session) dropNames(ctx context.Context, r *row) error {
	for _, l := range r.lists() {
		for _, w := range l.words {
			if _, err := tx.exec(ctx, l.remove, w, r.folded); err != nil {
				return err
			}
		}
	}
	for _, n := range r.names {
		if _, err := tx.exec(ctx, `DELETE FROM credentials WHERE kind = ? AND name = ? AND subject = ?`,
			n.kind, n.name.name, n.subject); err != nil {
			return err
		}
	}
	return nil
}

// DeleteUser takes a user away with all that leads to it; ErrNotFound where there is none.
func (tx *session) DeleteUser(ctx context.Context, id string) error {
	old, _, err := tx.oldRow(ctx, id)
	if err != nil {
		return err
	}
	if old == nil {
		return fmt.Errorf("user with id %q: %w", id, store.ErrNotFound)
	}
	if err := tx.dropNames(ctx, old); err != nil {
		return err
	}
	_, err = tx.exec(ctx, `DELETE FROM users WHERE id = ?`, id)
	return err
}
