package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// applied is what is remembered of an owner's last document: what it was, and what
// it wanted of each user, so that what was done at run time can be told from what
// the document itself once said.
type applied struct {
	Digest string                 `json:"digest"`
	Users  map[string]appliedUser `json:"users,omitempty"` // by folded username
}

type appliedUser struct {
	Inactive    bool              `json:"inactive,omitempty"`
	ExpiresAt   *time.Time        `json:"expiresAt,omitempty"`
	Credentials map[string]string `json:"credentials,omitempty"` // public name → id that the document's credential got
}

func appliedName(owner string) string { return "applied/" + owner }

func readApplied(ctx context.Context, r store.Objects, owner string) (*applied, error) {
	out := &applied{}
	o, err := absent(r.Object(ctx, store.KindMeta, appliedName(owner)))
	if o == nil || err != nil {
		return out, err
	}
	if err := json.Unmarshal(o.Body, out); err != nil {
		return nil, fmt.Errorf("reading what was applied last: %w", err)
	}
	return out, nil
}

func (a *applied) write(t *change, owner string) error {
	body, err := encode(a)
	if err != nil {
		return err
	}
	return t.w.PutObject(t.ctx, &store.Object{Kind: store.KindMeta, Name: appliedName(owner), Body: body, Updated: t.now})
}

func (s *Service) applied(ctx context.Context, owner string) (digest string, revision int64, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		a, err := readApplied(ctx, r, owner)
		if err != nil {
			return err
		}
		digest = a.Digest
		revision, err = r.CurrentRevision(ctx)
		return err
	})
	return digest, revision, err
}

// memory lets deactivations, revocations and credentials of the run time win over
// a document that is applied again.
type memory struct {
	was, now map[string]appliedUser
}

func newMemory(a *applied) *memory {
	return &memory{was: a.Users, now: map[string]appliedUser{}}
}

// yield alters a draft so that it takes back nothing that was done at run time.
// skip says that the user itself was deleted, and stays so.
func (m *memory) yield(t *change, d *draft, before *store.UserRecord) (skip bool) {
	folded := model.FoldUsername(d.user.Username)
	past, known := m.was[folded]
	wish := appliedUser{Inactive: !d.user.Active, ExpiresAt: d.user.ExpiresAt, Credentials: map[string]string{}}
	for i := range d.user.Credentials {
		wish.Credentials[publicName(&d.user.Credentials[i])] = ""
	}
	for name, id := range past.Credentials {
		if _, wanted := wish.Credentials[name]; wanted {
			wish.Credentials[name] = id
		}
	}
	m.now[folded] = wish
	if before == nil {
		if known {
			t.warn("The user " + d.user.Username + " was deleted at run time and is not made again.")
		}
		return known
	}
	if !before.User.Active && d.user.Active && !past.Inactive {
		d.user.Active = false
		t.warn("The user " + d.user.Username + " was deactivated at run time and stays so.")
	}
	if end := before.User.ExpiresAt; end != nil && !equalTimes(end, past.ExpiresAt) &&
		(d.user.ExpiresAt == nil || end.Before(*d.user.ExpiresAt)) {
		d.user.ExpiresAt = end
	}
	m.yieldCredentials(d, before.User.Credentials, past)
	return false
}

func (m *memory) yieldCredentials(d *draft, existing []model.Credential, past appliedUser) {
	if d.user.Credentials == nil {
		return
	}
	ours := func(e *model.Credential) bool { return past.Credentials[publicName(e)] == e.ID }
	var given []model.Credential
	for i := range d.user.Credentials {
		g := d.user.Credentials[i]
		j := matching(existing, &g)
		_, had := past.Credentials[publicName(&g)]
		switch {
		case j < 0 && had: // taken away at run time
		case j >= 0 && g.Type == model.Password && !ours(&existing[j]): // set at run time
			given = append(given, as(existing[j]))
		default:
			given = append(given, g)
		}
	}
	for i := range existing {
		e := &existing[i]
		named := slices.ContainsFunc(given, func(g model.Credential) bool { return publicName(&g) == publicName(e) })
		if e.Declared && !named && !ours(e) { // came by a PUT since
			given = append(given, as(*e))
		}
	}
	if given == nil {
		given = []model.Credential{}
	}
	d.user.Credentials = given
}

// as is a stored credential as one would give it to keep it.
func as(e model.Credential) model.Credential {
	if e.Hash != "" {
		e.Hash = model.Mask
	}
	return e
}

// remember notes the ids of the credentials that the document's became.
func (m *memory) remember(d *draft, u *model.User) {
	wish := m.now[model.FoldUsername(u.Username)]
	for i := range u.Credentials {
		c := &u.Credentials[i]
		name := publicName(c)
		_, wanted := wish.Credentials[name]
		made := slices.ContainsFunc(d.user.Credentials, func(g model.Credential) bool {
			return publicName(&g) == name && g.Hash != model.Mask
		})
		if wanted && made {
			wish.Credentials[name] = c.ID
		}
	}
}
