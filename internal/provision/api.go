package provision

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// Actor is who makes a change, and why.
type Actor struct {
	Name      string            // administrator, "jit:PROVIDER", "boot", "demo"
	Roles     []model.AdminRole // what the actor may change; checked here, once for all faces
	Reason    string
	RequestID string
	ClientIP  string
}

// Condition guards a write.
type Condition struct {
	IfMatch     string // an ETag, or "*" for any existing object; "" = unconditional
	IfNoneMatch bool   // only if it does not exist: POST
	DryRun      bool   // answer with the diff and change nothing
}

// Object is one object of a collection as the faces show it: secrets masked.
type Object struct {
	Kind     string
	Name     string
	Value    any // *model.Route, *model.User, …: masked, ready for JSON
	ETag     string
	Revision int64
}

// Outcome is what a write did, or under DryRun would do.
type Outcome struct {
	Revision int64          `json:"revision"`
	Changes  []model.Change `json:"changes"`
	Impact   Impact         `json:"impact"`
	Warnings []string       `json:"warnings,omitempty"`
	Object   *Object        `json:"-"` // the written object; nil after a deletion
	Created  bool           `json:"-"`
}

// Impact says whom a change touches.
type Impact struct {
	Users  int64    `json:"users"`            // users whose rights may change
	Routes []string `json:"routes,omitempty"` // routes that change
}

// Query selects a page of a collection.
type Query struct {
	Limit  int    // 1 to 1000; 0 = 100
	Cursor string // opaque, from the page before
	Filter string // field eq "value" [and …]; unknown fields are faults
	Sort   string // a field, "-" in front for descending
}

// Page is one page of a collection.
type Page struct {
	Items      []Object
	NextCursor string
}

// API is what the faces call. Collections are named by the store's kinds, and
// users and administrators by "users" and "administrators". Errors are
// *model.Error with the admin API's codes.
type API interface {
	Collections
	Credentials
	Documents
	History
}

// Collections reads and writes single objects.
type Collections interface {
	Get(ctx context.Context, kind, name string) (*Object, error)
	List(ctx context.Context, kind string, q Query) (*Page, error)
	// Put replaces or creates; value is a pointer to the kind's model type, with
	// masks where a stored secret is to be kept.
	Put(ctx context.Context, a Actor, kind, name string, value any, c Condition) (*Outcome, error)
	Delete(ctx context.Context, a Actor, kind, name string, c Condition) (*Outcome, error)
	// Decode reads strict JSON as the kind's model type, defaults filled in; all
	// faults at once.
	Decode(kind string, body []byte) (any, error)
}

// Credentials are a sub-collection of users and administrators (kind).
type Credentials interface {
	ListCredentials(ctx context.Context, kind, owner string) ([]model.Credential, error)
	// AddCredential answers the credential with its Secret filled in where the
	// gateway made it: the only time that it is shown.
	AddCredential(ctx context.Context, a Actor, kind, owner string, c model.Credential) (*model.Credential, error)
	DeleteCredential(ctx context.Context, a Actor, kind, owner, id string) error
	// Administrator finds an administrator for a login: by name, or by credential
	// name (token id, certificate names).
	Administrator(ctx context.Context, name string) (*model.Administrator, error)
}

// Documents are whole sets at once.
type Documents interface {
	Apply(ctx context.Context, a Actor, doc *model.Document, o ApplyOptions) (*Outcome, error)
	Export(ctx context.Context) (*model.Document, error)
	// CurrentSet is the stored configuration, unmasked, for compiling.
	CurrentSet(ctx context.Context) (*model.Set, error)
}

// ApplyOptions say how a document is applied.
type ApplyOptions struct {
	DryRun bool
	Prune  bool   // delete what an earlier apply of the same owner made and this one omits
	Owner  string // "apply" for the command, "file:PATH" for the boot file's resources
	// RuntimeWins keeps deactivations, revocations and credentials made at run
	// time (the boot file's resources).
	RuntimeWins bool
	// Digest names the document's content. Where the owner's last applied document
	// has the same, nothing is done; else it is remembered in the same transaction.
	Digest string
}

// History is the list of revisions.
type History interface {
	Revisions(ctx context.Context, before int64, limit int) ([]store.Revision, error)
	RevisionByNumber(ctx context.Context, n int64) (*store.Revision, error)
	Rollback(ctx context.Context, a Actor, n int64, c Condition) (*Outcome, error)
}

// Deps are what the write side needs from outside. Store, Compile, Invalidate and
// Record are required; without Hash no password can be set in plain text.
type Deps struct {
	Store store.Store
	// Compile builds a plan from a set without publishing it, so that a set that
	// does not hold together is refused whole; users finds users for policy tests.
	Compile func(set *model.Set, users UserLookup) (publish func(), faults model.Faults)
	// Invalidate forgets users in the directory, before the change is acknowledged,
	// and that somebody was nobody: of many new users not all ids are listed.
	Invalidate func(userIDs []string)
	// Record writes the change's audit event, synced; its failure fails the change.
	Record func(model.Event) error
	// Hash makes an argon2id hash, bounded in parallel.
	Hash func(ctx context.Context, password string) (string, error)
	// Verify says whether password is the one that hash was made of, so that the
	// same password given again is no change. nil = every given password is new.
	Verify func(ctx context.Context, hash, password string) (ok, upgrade bool, err error)
	Now    func() time.Time
}

// UserLookup finds a user as it will be once the change is made; nil = there is none.
type UserLookup func(username string) *model.User
