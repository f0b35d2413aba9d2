package provision

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// jitOrigin begins the origin of users that a provider's first sight made.
const jitOrigin = "jit:"

var _ directory.Provisioner = (*Service)(nil)

// Provision finds the user behind an outside identity, links or makes it as the
// provider says, and brings up to date what the provider asserts. It writes only
// where something differs. A refusal is CredentialInvalid with its cause.
func (s *Service) Provision(ctx context.Context, o directory.Outside) (userID string, dropped []string, err error) {
	if o.Provider == nil || o.Subject == "" || !o.Provider.Enabled {
		return "", nil, nil
	}
	o = clean(o)
	var idle bool
	err = s.view(ctx, func(r store.Reader) error {
		rec, err := linked(ctx, r, &o)
		if err != nil || rec == nil {
			idle = o.Provider.Provision == model.ProvisionOff
			return err
		}
		want, lost, err := refreshed(ctx, r, rec, &o)
		userID, dropped, idle = rec.User.ID, lost, err == nil && sameUser(&rec.User, &want.User)
		return err
	})
	if err != nil || idle {
		return userID, dropped, identityError(err)
	}
	// Many requests of one new user arrive together; they wait for one change.
	type answer struct {
		id      string
		dropped []string
	}
	v, err, _ := s.sights.Do(o.Provider.Name+"\x00"+o.Subject, func() (any, error) {
		var a answer
		_, err := s.run(context.WithoutCancel(ctx), &change{actor: Actor{Name: jitOrigin + o.Provider.Name}, inherent: true}, func(t *change) error {
			a.id, a.dropped, err = t.sight(&o)
			return err
		})
		return a, err
	})
	if err != nil {
		return "", nil, identityError(err)
	}
	a := v.(answer)
	return a.id, a.dropped, nil
}

// identityError says that it cannot be told who this is, unless it can: a refusal
// or a full audit disk stay what they are.
func identityError(err error) error {
	if err == nil {
		return nil
	}
	var e *model.Error
	if errors.As(err, &e) && e.Code != model.ConfigurationUnavailable && e.Code != model.Internal {
		return err
	}
	return &model.Error{Code: model.IdentityUnavailable, Message: "The caller's identity cannot be checked at the moment.", RetryAfter: 5, Err: err}
}

// refuse is a no to an outside identity; why is for logs and audit alone.
func refuse(why string) error {
	return &model.Error{Code: model.CredentialInvalid, Message: "The credential was not accepted.", Err: errors.New(why)}
}

// clean drops what an identity may not say: names that are nobody's here are not
// stored, and an address that is none is no address.
func clean(o directory.Outside) directory.Outside {
	if !model.ValidEmail(o.Email) {
		o.Email = ""
	}
	if r := []rune(o.DisplayName); len(r) > 254 {
		o.DisplayName = string(r[:254])
	}
	if b, err := json.Marshal(o.Attributes); err != nil || len(b) > 16<<10 {
		o.Attributes, o.Asserted.Attributes = nil, false
	}
	return o
}

func linked(ctx context.Context, r store.Reader, o *directory.Outside) (*store.UserRecord, error) {
	rec, _, err := r.Find(ctx, directory.Key{By: directory.ByLink, A: o.Provider.Name, B: o.Subject})
	return absent(rec, err)
}

// sight finds, links or makes the user, within the transaction that would do so.
func (t *change) sight(o *directory.Outside) (id string, dropped []string, err error) {
	rec, err := linked(t.ctx, t.w, o)
	if err != nil {
		return "", nil, err
	}
	before := rec
	if rec == nil {
		if there, err := t.vouches(o.Provider.Name); !there || err != nil {
			return "", nil, err
		}
		if left, err := t.left(o); left || err != nil {
			if err == nil {
				err = refuse("the user of this identity was deleted here after the token was issued")
			}
			return "", nil, err
		}
		switch o.Provider.Provision {
		case model.ProvisionJIT:
			rec, err = t.firstSight(o)
		case model.ProvisionMatch:
			before, rec, err = t.match(o)
		}
		if rec == nil || err != nil {
			return "", nil, err
		}
	}
	after, dropped, err := refreshed(t.ctx, t.w, rec, o)
	if err != nil {
		return "", nil, err
	}
	return rec.User.ID, dropped, t.writeUser(before, after)
}

// vouches says whether the provider still does. A request that began before it was
// deleted must not leave a link for the next provider of that name.
func (t *change) vouches(provider string) (bool, error) {
	c, _ := collectionOf(store.KindIdentityProviders, provider)
	_, v, err := t.get(c, provider)
	p, ok := v.(*model.IdentityProvider)
	return ok && p.Enabled, err
}

// firstSight is a new user for an identity. It never becomes one that exists
// already: whoever may choose a name at the provider would else choose who to be.
func (t *change) firstSight(o *directory.Outside) (*store.UserRecord, error) {
	if !model.ValidUsername(o.Username) {
		return nil, refuse("jit: the username that " + o.Provider.Name + " gives is missing or no username")
	}
	other, err := absent(t.w.User(t.ctx, o.Username))
	if err != nil {
		return nil, err
	}
	if other != nil {
		return nil, refuse("jit: the username " + quote(o.Username) + " is another user's already, who is not linked to " + o.Provider.Name)
	}
	return &store.UserRecord{User: model.User{ID: newID(), Username: o.Username, Kind: model.Person, Active: true,
		DisplayName: o.DisplayName, Origin: jitOrigin + o.Provider.Name, CreatedAt: t.now,
		Credentials: []model.Credential{t.link(o)}}}, nil
}

func (t *change) link(o *directory.Outside) model.Credential {
	return model.Credential{ID: newID(), Type: model.Link, CreatedAt: t.now, Provider: o.Provider.Name, Subject: o.Subject}
}

// match links a user that exists, once: a second subject of the same provider
// never becomes the same user.
func (t *change) match(o *directory.Outside) (before, after *store.UserRecord, err error) {
	if o.Provider.MatchBy == "email" {
		before, err = t.matchEmail(o)
	} else if model.ValidUsername(o.Username) {
		before, err = absent(t.w.User(t.ctx, o.Username))
	}
	if before == nil || err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(before.User.Credentials, func(c model.Credential) bool {
		return c.Type == model.Link && c.Provider == o.Provider.Name
	}) {
		return nil, nil, refuse("match: " + quote(before.User.Username) + " is linked to another subject of " + o.Provider.Name + " already")
	}
	if !before.User.Active {
		return nil, nil, refuse("match: " + quote(before.User.Username) + " is inactive")
	}
	linked := *before
	linked.User = cloneUser(before.User)
	linked.User.Credentials = append(linked.User.Credentials, t.link(o))
	return before, &linked, nil
}

func (t *change) matchEmail(o *directory.Outside) (*store.UserRecord, error) {
	if o.Email == "" || !o.Provider.TrustEmail {
		return nil, nil
	}
	list, err := t.w.ListUsers(t.ctx, store.UserQuery{Email: o.Email, Limit: 2})
	switch {
	case err != nil || len(list) == 0:
		return nil, err
	case len(list) > 1:
		return nil, refuse("match: several users have the e-mail address " + quote(o.Email))
	}
	return &list[0], nil
}

// refreshed is a linked user as its provider describes it now. Only one provider
// describes a user: the one that made it, else the one linked first; two that
// contradict each other would else rewrite it at every request. A user that it made
// has the roles that it gives and no others; one that was there already keeps its
// own, and what the provider gives comes and goes beside them. An inactive user is
// left as it is.
func refreshed(ctx context.Context, r store.Reader, rec *store.UserRecord, o *directory.Outside) (*store.UserRecord, []string, error) {
	after := *rec
	after.User = cloneUser(rec.User)
	u := &after.User
	roles, dropped, err := known(ctx, r, store.KindRoles, "role ", o.Roles, nil)
	if err != nil {
		return nil, nil, err
	}
	groups, dropped, err := known(ctx, r, store.KindGroups, "group ", o.Groups, dropped)
	if err != nil || !u.Active || describer(u) != o.Provider.Name {
		return &after, dropped, err
	}
	given, _, err := known(ctx, r, store.KindRoles, "", o.Provider.Roles, nil)
	made := u.Origin == jitOrigin+o.Provider.Name
	roles = list(append(roles, given...))
	switch {
	case !made:
		give(u, o, groups, roles)
	case o.Asserted.Groups:
		u.Groups = keepOrder(u.Groups, groups)
	}
	if made {
		u.Roles = keepOrder(u.Roles, roles)
	}
	portray(u, o, made)
	return &after, dropped, err
}

// portray takes over what the provider says of a person.
func portray(u *model.User, o *directory.Outside, made bool) {
	switch {
	case !o.Asserted.Email:
	case made && o.Email == "":
		u.Emails = []string{}
	case made:
		u.Emails = []string{o.Email}
	case o.Email != "":
		u.Emails = list(append(u.Emails, o.Email))
	}
	if o.Asserted.DisplayName {
		u.DisplayName = o.DisplayName
	}
	if o.Asserted.Attributes {
		if u.Attributes == nil {
			u.Attributes = map[string]any{}
		}
		for name := range o.Provider.Mapping.Attributes {
			delete(u.Attributes, name)
		}
		for name, v := range o.Attributes {
			u.Attributes[name] = v
		}
	}
}

// describer is the provider whose word on a user counts.
func describer(u *model.User) string {
	if provider, ok := cutOrigin(u.Origin); ok {
		return provider
	}
	for i := range u.Credentials {
		if u.Credentials[i].Type == model.Link {
			return u.Credentials[i].Provider
		}
	}
	return ""
}

func cutOrigin(origin string) (provider string, made bool) {
	if len(origin) > len(jitOrigin) && origin[:len(jitOrigin)] == jitOrigin {
		return origin[len(jitOrigin):], true
	}
	return "", false
}

// known splits names into those that exist here and those that do not, which are
// dropped and reported.
func known(ctx context.Context, r store.Reader, kind, what string, names, dropped []string) (exist, lost []string, err error) {
	for _, n := range list(names) {
		o, err := absent(r.Object(ctx, kind, n))
		switch {
		case err != nil:
			return nil, nil, err
		case o == nil:
			dropped = append(dropped, what+n)
		default:
			exist = append(exist, n)
		}
	}
	return exist, dropped, nil
}

// keepOrder answers the stored list where it holds the same names, so that a
// provider that shuffles them causes no writing.
func keepOrder(stored, now []string) []string {
	a, b := slices.Sorted(slices.Values(stored)), slices.Sorted(slices.Values(now))
	if reflect.DeepEqual(a, b) {
		return stored
	}
	return list(now)
}
