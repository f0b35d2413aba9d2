package store

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

// ErrNotFound says that there is no such thing, as against not being able to tell.
var ErrNotFound = errors.New("not found")

// ErrExists says that a unique name is taken.
var ErrExists = errors.New("exists already")

// Store keeps everything. View and Update run their function once, in one
// transaction; Update's is the only writer while it runs, and what it wrote is
// durable (synced) once Update has returned nil.
type Store interface {
	directory.Source
	View(ctx context.Context, fn func(Reader) error) error
	Update(ctx context.Context, fn func(Writer) error) error
	Close() error
}

// Kinds of stored configuration objects, named as their collections.
const (
	KindSettings          = "settings" // names: reverseProxyAuthentication, identityHeaders
	KindServices          = "services"
	KindRoutes            = "routes"
	KindRoles             = "roles"
	KindGroups            = "groups"
	KindIdentityProviders = "identityProviders"
	KindExpect            = "expect" // one object named "expect" holding the list
	KindAdministrators    = "administrators"
	KindMeta              = "meta" // the gateway's own notes: applied files and the like; no revision
)

// Object is one stored configuration object: JSON, with the revision that last
// changed it, which is its ETag.
type Object struct {
	Kind     string
	Name     string
	Body     []byte
	Revision int64
	Updated  time.Time
	Owner    string // the apply that made it, for --prune; "" = made by hand
}

// Reader reads within one transaction.
type Reader interface {
	Objects
	Users
	Revisions
	Sessions
}

// Writer reads and writes within one transaction.
type Writer interface {
	Reader
	ObjectWriter
	UserWriter
	SessionWriter
	// AddRevision adds r, whose Number must be above the current one; 0 becomes
	// the next, and is filled in.
	AddRevision(ctx context.Context, r *Revision) error
}

// Objects reads configuration objects.
type Objects interface {
	Object(ctx context.Context, kind, name string) (*Object, error)
	ListObjects(ctx context.Context, kind string) ([]Object, error) // by name
}

// ObjectWriter writes configuration objects.
type ObjectWriter interface {
	PutObject(ctx context.Context, o *Object) error
	DeleteObject(ctx context.Context, kind, name string) error
}

// UserRecord is a user with its credentials and the revision that last changed it.
type UserRecord struct {
	User     model.User
	Revision int64
	Owner    string
}

// UserQuery selects a page of users, ordered by folded username unless Sort says otherwise.
type UserQuery struct {
	After string // folded username to start behind: the cursor
	Limit int    // 0 = no limit
	// Conditions that all must hold; zero values are not asked.
	Username, Email, Group, Role string
	Kind                         model.Kind
	Active                       *bool
	Descending                   bool
}

// Users reads users. Where there is none they answer ErrNotFound, as against the
// directory's own way in (directory.Source), to which nobody is no error.
type Users interface {
	User(ctx context.Context, username string) (*UserRecord, error) // any case
	UserRecordByID(ctx context.Context, id string) (*UserRecord, error)
	Find(ctx context.Context, key directory.Key) (*UserRecord, string, error)
	ListUsers(ctx context.Context, q UserQuery) ([]UserRecord, error)
	CountUsers(ctx context.Context, q UserQuery) (int64, error)
	AnyPublicKey(ctx context.Context) (bool, error) // whether any user has one
}

// UserWriter writes users. PutUser replaces the user of that id, or adds it, with
// all its credentials; ErrExists where the username, or a credential's public
// name (key id, certificate name, public key, link), is another user's. Whom PutUser leaves
// inactive and DeleteUser deletes has no sessions afterwards.
type UserWriter interface {
	PutUser(ctx context.Context, u *UserRecord) error
	DeleteUser(ctx context.Context, id string) error
}

// Revision is one accepted state of the configuration: who made it, why, and what changed.
type Revision struct {
	Number  int64          `json:"revision"`
	Time    time.Time      `json:"time"`
	Actor   string         `json:"actor"`
	Reason  string         `json:"reason,omitempty"`
	Changes []model.Change `json:"changes"`
	// Restore holds what rollback needs: the objects' bodies before and after,
	// unmasked, as JSON. It is never shown.
	Restore []byte `json:"-"`
}

// Revisions reads revisions. Restore is read with a single one only.
type Revisions interface {
	CurrentRevision(ctx context.Context) (int64, error)
	Revision(ctx context.Context, n int64) (*Revision, error)
	ListRevisions(ctx context.Context, before int64, limit int) ([]Revision, error) // newest first; before 0 = from the newest
}
