package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// User reads a user by username, in any case.
func (tx *session) User(ctx context.Context, username string) (*store.UserRecord, error) {
	r, _, err := tx.Find(ctx, directory.Key{By: directory.ByUsername, A: username})
	return r, err
}

// UserRecordByID reads a user by its id.
func (tx *session) UserRecordByID(ctx context.Context, id string) (*store.UserRecord, error) {
	var doc []byte
	r := &store.UserRecord{}
	ok, err := tx.row(ctx, `SELECT doc, revision, owner FROM users WHERE id = ?`, []any{id}, &doc, &r.Revision, &r.Owner)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("user with id %q: %w", id, store.ErrNotFound)
	}
	return r, readDoc(doc, &r.User)
}

// Find reads the user behind a key, and the id of the credential that it names;
// ErrNotFound where there is nobody.
func (tx *session) Find(ctx context.Context, key directory.Key) (*store.UserRecord, string, error) {
	key = key.Normal()
	var doc []byte
	var credential string
	var ok bool
	var err error
	r := &store.UserRecord{}
	if key.By == directory.ByUsername {
		ok, err = tx.row(ctx, `SELECT doc, revision, owner FROM users WHERE folded = ?`,
			[]any{key.A}, &doc, &r.Revision, &r.Owner)
	} else {
		n := nameOf(key)
		ok, err = tx.row(ctx, `SELECT u.doc, u.revision, u.owner, c.credential FROM credentials c
			JOIN users u ON u.num = c.num WHERE c.kind = ? AND c.name = ? AND c.subject = ?`,
			[]any{n.kind, n.name, n.subject}, &doc, &r.Revision, &r.Owner, &credential)
	}
	if err != nil {
		return nil, "", err
	}
	if !ok {
		return nil, "", fmt.Errorf("user: %w", store.ErrNotFound)
	}
	if err := readDoc(doc, &r.User); err != nil {
		return nil, "", err
	}
	if key.By == directory.ByUsername {
		if c := directory.CredentialFor(&r.User, key); c != nil {
			credential = c.ID
		}
	}
	return r, credential, nil
}

func readDoc(doc []byte, u *model.User) error {
	if err := json.Unmarshal(doc, u); err != nil {
		return fmt.Errorf("reading a user: %w", err)
	}
	return nil
}

// ListUsers reads a page of users.
func (tx *session) ListUsers(ctx context.Context, q store.UserQuery) ([]store.UserRecord, error) {
	text, args := pageText(q)
	var list []store.UserRecord
	err := tx.rows(ctx, text, args, func(rows *sql.Rows) error {
		var r store.UserRecord
		var doc sql.RawBytes
		if err := rows.Scan(&doc, &r.Revision, &r.Owner); err != nil {
			return err
		}
		if err := readDoc(doc, &r.User); err != nil {
			return err
		}
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// CountUsers counts whom the query's conditions select, whatever page it asks for.
func (tx *session) CountUsers(ctx context.Context, q store.UserQuery) (int64, error) {
	var n int64
	text, args := countText(q)
	_, err := tx.row(ctx, text, args, &n)
	return n, err
}

// AnyPublicKey says whether any user has a public key.
func (tx *session) AnyPublicKey(ctx context.Context) (bool, error) {
	var one int
	return tx.row(ctx, `SELECT 1 FROM credentials WHERE kind = ? LIMIT 1`, []any{publicKeys}, &one)
}

// FindUser is the directory's way in: one statement, outside any transaction.
func (s *Store) FindUser(ctx context.Context, key directory.Key) (*model.User, string, error) {
	var u *model.User
	var credential string
	err := s.lookup(ctx, func(tx *session) error {
		r, c, err := tx.Find(ctx, key)
		if r != nil {
			u, credential = &r.User, c
		}
		return err
	})
	return u, credential, err
}

// UserByID is the directory's way in by id.
func (s *Store) UserByID(ctx context.Context, id string) (*model.User, error) {
	var u *model.User
	err := s.lookup(ctx, func(tx *session) error {
		r, err := tx.UserRecordByID(ctx, id)
		if r != nil {
			u = &r.User
		}
		return err
	})
	return u, err
}
