package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport/sallyport/internal/model"
)

// verify finds the one user of a name, proves the password by a bind as that user,
// and reads the groups.
func (d *directory) verify(ctx context.Context, p *model.IdentityProvider, username, password string) (Answer, error) {
	entry, refusal, err := d.find(ctx, p, username)
	if err != nil {
		return Answer{}, err
	}
	if entry == nil {
		// The time must not tell who exists: an unknown name costs a bind as well, as
		// somebody whom nobody can be.
		if _, err := d.prove(ctx, "cn="+rand.Text()+","+p.UserBase, password); err != nil && !answered(err) {
			return Answer{}, err
		}
		return Answer{Refusal: refusal, Known: refusal != nobody}, nil
	}
	refusal, err = d.prove(ctx, entry.DN, password)
	if err != nil || refusal != "" {
		return Answer{Known: true, Refusal: refusal}, err
	}
	claims, err := claimsOf(p, entry, username)
	if err != nil {
		return Answer{}, trouble(stageUser, d.target.address, err)
	}
	if p.GroupBase != "" {
		groups, err := d.groups(ctx, p, entry.DN, username)
		if err != nil {
			return Answer{}, err // without groups the rights would be wrong
		}
		claims["groups"] = groups
	}
	subject, err := subjectOf(entry)
	if err != nil {
		return Answer{}, trouble(stageUser, d.target.address, err)
	}
	claims["sub"] = subject
	return Answer{Known: true, Subject: subject, Claims: claims}, nil
}

const nobody = "the directory has no user of that name"

// attributes are asked for: those of users, and those of the directory's own that
// matter here.
var attributes = []string{"*", "entryUUID", "objectGUID", "nsUniqueId", "memberOf"}

// find is the user's entry, or why there is none that counts.
func (d *directory) find(ctx context.Context, p *model.IdentityProvider, username string) (entry *ldap.Entry, refusal string, err error) {
	found, more, err := d.search(ctx, p.UserBase, fill(userFilter(p), username, ""), 2, attributes)
	switch {
	case err != nil:
		return nil, "", trouble(stageUser, d.target.address, err)
	case more || len(found) > 1:
		return nil, "the directory has several users of that name: userFilter must fit one alone", nil
	case len(found) == 0:
		return nil, nobody, nil
	}
	if dn, err := normal(found[0].DN); err != nil || dn == "" {
		return nil, "", trouble(stageUser, d.target.address, errors.New("the user's entry has no name that can be bound as"))
	}
	return found[0], "", nil
}

// search asks below base for at most most entries; more says that there are others.
// References to other servers are not followed.
func (d *directory) search(ctx context.Context, base, filter string, most int, attributes []string) (found []*ldap.Entry, more bool, err error) {
	err = d.with(ctx, forSearch, func(c *conn) error {
		req := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, most,
			max(1, int(d.o.Timeout.Seconds())), false, filter, attributes, nil)
		req.EnforceSizeLimit = true
		res, err := c.Search(req)
		found, more = nil, false
		if res != nil {
			found = res.Entries
		}
		if errors.Is(err, ldap.ErrSizeLimitExceeded) { // it goes on sending: the connection is not used again
			more = true
			return errDone
		}
		if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
			more, err = true, nil
		}
		return err
	})
	if errors.Is(err, errDone) {
		err = nil
	}
	return found, more, err
}

// prove binds as a user, on a connection that is for that alone. A refusal says
// that the password does not open the account.
func (d *directory) prove(ctx context.Context, dn, password string) (refusal string, err error) {
	err = d.with(ctx, forBind, func(c *conn) error {
		res, err := c.SimpleBind(ldap.NewSimpleBindRequest(dn, password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
		refusal = ""
		if ldap.IsErrorAnyOf(err, denied...) && answered(err) {
			refusal = "the directory refuses the password: " + said(err)
			return nil
		}
		if err == nil {
			refusal = policy(res.Controls)
		}
		return err
	})
	if err != nil {
		return "", trouble(stageProof, d.target.address, err)
	}
	return refusal, nil
}

// policy is why a password that was accepted does not count: it may be used for
// nothing but to change it.
func policy(controls []ldap.Control) string {
	for _, c := range controls {
		switch c := c.(type) {
		case *ldap.ControlVChuPasswordMustChange:
			return "the password must be changed first"
		case *ldap.ControlBeheraPasswordPolicy:
			if c.Error == 0 || c.Error == 2 { // passwordExpired, changeAfterReset
				return "the password must be changed first"
			}
		}
	}
	return ""
}

// said is a directory's answer in short: its code, and the code of Active
// Directory's that tells a locked from a wrong one, for the audit.
func said(err error) string {
	var e *ldap.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := fmt.Sprintf("%s (%d)", ldap.LDAPResultCodeMap[e.ResultCode], e.ResultCode)
	if m := adCode.FindStringSubmatch(e.Error()); m != nil {
		text += ", data " + m[1]
	}
	return text
}
