package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// name is a credential's public name as a row of the credentials table.
type name struct{ kind, name, subject string }

// publicKeys is the kind of name of users' public keys.
const publicKeys = "publicKey"

func nameOf(k directory.Key) name {
	switch k.By {
	case directory.ByKeyID:
		return name{"key", k.A, ""}
	case directory.ByPublicKey:
		return name{publicKeys, k.A, ""}
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

// word is what users are selected by: list is group, role or email.
type word struct{ list, word string }

// row is a user as the tables hold it.
type row struct {
	rec    *store.UserRecord
	folded string
	doc    string
	names  []named
	words  []word
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
	for _, g := range u.Groups {
		r.words = append(r.words, word{"group", g})
	}
	for _, g := range u.Roles {
		r.words = append(r.words, word{"role", g})
	}
	for _, e := range u.Emails {
		r.words = append(r.words, word{"email", model.FoldUsername(e)})
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
	if !rec.User.Active {
		if err := tx.endSessions(ctx, rec.User.ID); err != nil {
			return err
		}
	}
	// Most likely it is new and nothing stands in its way: try without looking.
	if err = tx.addUser(ctx, r); !taken(err) {
		return err
	}
	old, num, err := tx.oldRow(ctx, rec.User.ID)
	if err != nil {
		return err
	}
	if err := tx.free(ctx, r, num); err != nil {
		return err
	}
	if old == nil { // its id and its credentials' names are free, so it was the username that is not
		return fmt.Errorf("user %q: the username is taken: %w", rec.User.Username, store.ErrExists)
	}
	return tx.replaceUser(ctx, num, old, r)
}

// addUser adds a user whole, or not at all.
func (tx *session) addUser(ctx context.Context, r *row) error {
	res, err := tx.exec(ctx, `INSERT INTO users (folded, kind, active, expires, revision, owner, created, updated, doc, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.columns()...)
	if err != nil {
		return err
	}
	num, err := res.LastInsertId()
	if err != nil {
		return tx.note("changing the store", err)
	}
	if err := tx.addNames(ctx, num, r); err != nil {
		if taken(err) {
			if undo := tx.undo(ctx, num, r); undo != nil {
				return undo
			}
		}
		return err
	}
	return tx.addWords(ctx, num, r)
}

// undo takes away a user that was added in part.
func (tx *session) undo(ctx context.Context, num int64, r *row) error {
	if len(r.names) > atOnce { // else no name was added before the one that is taken
		for _, n := range r.names {
			if _, err := tx.exec(ctx, `DELETE FROM credentials WHERE kind = ? AND name = ? AND subject = ? AND num = ?`,
				n.kind, n.name.name, n.subject, num); err != nil {
				return err
			}
		}
	}
	_, err := tx.exec(ctx, `DELETE FROM users WHERE num = ?`, num)
	return err
}

// free says whether each of the row's names leads to nobody, or to user num.
func (tx *session) free(ctx context.Context, r *row, num int64) error {
	for _, n := range r.names {
		var owner int64
		ok, err := tx.row(ctx, `SELECT num FROM credentials WHERE kind = ? AND name = ? AND subject = ?`,
			[]any{n.kind, n.name.name, n.subject}, &owner)
		if err != nil {
			return err
		}
		if ok && owner != num {
			return fmt.Errorf("user %q: the %s %q belongs to another user: %w", r.rec.User.Username, n.kind, n.name.name, store.ErrExists)
		}
	}
	return nil
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

func (tx *session) replaceUser(ctx context.Context, num int64, old, r *row) error {
	_, err := tx.exec(ctx, `UPDATE users SET folded = ?, kind = ?, active = ?, expires = ?, revision = ?, owner = ?,
		created = ?, updated = ?, doc = ? WHERE id = ?`, r.columns()...)
	if taken(err) {
		return fmt.Errorf("user %q: the username is taken: %w", r.rec.User.Username, store.ErrExists)
	}
	if err != nil {
		return err
	}
	if err := tx.drop(ctx, old); err != nil {
		return err
	}
	if err := tx.addNames(ctx, num, r); err != nil {
		return err
	}
	return tx.addWords(ctx, num, r)
}

// atOnce is how many rows one statement inserts: most users need but one each
// for their names and their words.
const atOnce = 8

var insertNames = inserts("INSERT INTO credentials (kind, name, subject, num, credential) VALUES ", "(?, ?, ?, ?, ?)")

var insertWords = inserts("INSERT OR IGNORE INTO words (list, word, folded, num) VALUES ", "(?, ?, ?, ?)")

// inserts are the statements that insert 1 to atOnce rows.
func inserts(head, values string) (texts [atOnce + 1]string) {
	for n := 1; n <= atOnce; n++ {
		texts[n] = head + strings.Repeat(values+", ", n-1) + values
	}
	return texts
}

// addNames adds the credentials' names. Where one is taken it may have added
// others before it, unless there are few of them.
func (tx *session) addNames(ctx context.Context, num int64, r *row) error {
	for part := range slices.Chunk(r.names, atOnce) {
		args := make([]any, 0, 5*atOnce)
		for _, n := range part {
			args = append(args, n.kind, n.name.name, n.subject, num, n.credential)
		}
		if _, err := tx.exec(ctx, insertNames[len(part)], args...); err != nil {
			return err
		}
	}
	return nil
}

func (tx *session) addWords(ctx context.Context, num int64, r *row) error {
	for part := range slices.Chunk(r.words, atOnce) {
		args := make([]any, 0, 4*atOnce)
		for _, w := range part {
			args = append(args, w.list, w.word, r.folded, num)
		}
		if _, err := tx.exec(ctx, insertWords[len(part)], args...); err != nil {
			return err
		}
	}
	return nil
}

// drop takes away all that leads to a user.
func (tx *session) drop(ctx context.Context, r *row) error {
	for _, w := range r.words {
		if _, err := tx.exec(ctx, `DELETE FROM words WHERE list = ? AND word = ? AND folded = ?`, w.list, w.word, r.folded); err != nil {
			return err
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
	if err := tx.drop(ctx, old); err != nil {
		return err
	}
	if err := tx.endSessions(ctx, id); err != nil {
		return err
	}
	_, err = tx.exec(ctx, `DELETE FROM users WHERE id = ?`, id)
	return err
}
