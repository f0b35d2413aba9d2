package provision

import (
	"slices"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

// give brings what a provider gives a user that it did not make up to date. What
// the user had without it stays, whatever the provider says; what came from it
// before, and is no longer said, goes.
func give(u *model.User, o *directory.Outside, groups, roles []string) {
	i := slices.IndexFunc(u.Credentials, func(c model.Credential) bool {
		return c.Type == model.Link && c.Provider == o.Provider.Name && c.Subject == o.Subject
	})
	if i < 0 {
		return
	}
	was, is := model.Given{}, model.Given{}
	if g := u.Credentials[i].Given; g != nil {
		was = *g
	}
	u.Groups, is.Groups = renewed(u.Groups, was.Groups, groups)
	u.Roles, is.Roles = renewed(u.Roles, was.Roles, roles)
	u.Credentials[i].Given = orNone(is)
}

// renewed is a list of names whose given part is replaced, and that part: of what
// the provider gives, all that is not there without it.
func renewed(have, gave, gives []string) (now, given []string) {
	own := without(have, gave)
	given = without(gives, own)
	return keepOrder(have, append(own, given...)), keepOrder(gave, given)
}

// forfeit takes away what the links gave that the user no longer has.
func forfeit(before []model.Credential, u *model.User) {
	for i := range before {
		c := &before[i]
		if c.Given == nil || slices.ContainsFunc(u.Credentials, func(e model.Credential) bool { return e.ID == c.ID }) {
			continue
		}
		u.Groups, u.Roles = without(u.Groups, c.Given.Groups), without(u.Roles, c.Given.Roles)
	}
}

// withdraw leaves of a user what it has of its own.
func withdraw(u *model.User) {
	for i := range u.Credentials {
		if g := u.Credentials[i].Given; g != nil {
			u.Groups, u.Roles = without(u.Groups, g.Groups), without(u.Roles, g.Roles)
			u.Credentials[i].Given = nil
		}
	}
}

// reconcile squares what somebody wrote with what providers gave. A document says
// what a user has of its own, beside which the given stays. Who writes one user has
// read it whole: what is left out is taken away, and what is there still is as it
// was. taken are the providers that will give it again.
func reconcile(u *model.User, document bool) (taken []string) {
	for i := range u.Credentials {
		g := u.Credentials[i].Given
		if g == nil {
			continue
		}
		rest := model.Given{}
		if document {
			rest.Groups, rest.Roles = without(g.Groups, u.Groups), without(g.Roles, u.Roles)
			u.Groups, u.Roles = append(u.Groups, rest.Groups...), append(u.Roles, rest.Roles...)
		} else {
			rest.Groups, rest.Roles = within(g.Groups, u.Groups), within(g.Roles, u.Roles)
			if len(rest.Groups)+len(rest.Roles) < len(g.Groups)+len(g.Roles) {
				taken = append(taken, u.Credentials[i].Provider)
			}
		}
		u.Credentials[i].Given = orNone(rest)
	}
	return taken
}

func orNone(g model.Given) *model.Given {
	if len(g.Groups) == 0 && len(g.Roles) == 0 {
		return nil
	}
	return &g
}

func without(names, others []string) []string {
	return slices.DeleteFunc(list(names), func(n string) bool { return slices.Contains(others, n) })
}

func within(names, others []string) []string {
	return slices.DeleteFunc(list(names), func(n string) bool { return !slices.Contains(others, n) })
}
