package provision

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// Export is everything as one document, in one order, secrets masked. Applied
// again it changes nothing. What only the gateway can set (ids, times, origins) is
// left out; credentials keep their ids, for their masks to be known by.
func (s *Service) Export(ctx context.Context) (doc *model.Document, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		set, err := loadSet(ctx, r, 0)
		if err != nil {
			return err
		}
		doc, err = documentOf(set)
		if err != nil {
			return err
		}
		list, err := r.ListUsers(ctx, store.UserQuery{})
		for i := range list {
			doc.Users = append(doc.Users, exported(list[i].User))
		}
		return err
	})
	return doc, err
}

func documentOf(set *model.Set) (*model.Document, error) {
	settings := &model.DocumentSettings{}
	for _, part := range set.Settings.Parts() {
		settings.Take(part)
	}
	doc := &model.Document{Settings: settings, Services: set.Services, Routes: set.Routes, Roles: set.Roles,
		Groups: set.Groups, IdentityProviders: set.IdentityProviders, Expect: set.Expect}
	for i := range doc.Services {
		maskIn(store.KindServices, &doc.Services[i])
	}
	for i := range doc.IdentityProviders {
		maskIn(store.KindIdentityProviders, &doc.IdentityProviders[i])
	}
	return doc, nil
}

// maskIn masks the secrets of a value that nobody else holds.
func maskIn(kind string, value any) {
	c, _ := collectionOf(kind, "")
	for _, p := range c.secrets(value) {
		if *p != "" {
			*p = model.Mask
		}
	}
}

func exported(u model.User) model.User {
	u = *maskUser(u)
	u.ID, u.Origin, u.CreatedAt, u.UpdatedAt = "", "", time.Time{}, time.Time{}
	withdraw(&u) // it is the provider's to give, and no file's
	for i := range u.Credentials {
		c := &u.Credentials[i]
		c.CreatedAt, c.LastUsed, c.Declared = time.Time{}, nil, false
	}
	return u
}
