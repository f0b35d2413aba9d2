package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

// caller is an administrator that has logged in, with the credential that proved it.
type caller struct {
	name       string
	roles      []model.AdminRole
	credential string
}

// logins finds out which administrator calls.
type logins struct {
	Deps
	throttle *throttle
	proven   *proven
}

func newLogins(d Deps) *logins {
	return &logins{Deps: d, throttle: newThrottle(d.Now), proven: newProven(d.Now)}
}

// The refusals. What exactly was wrong, the audit event says and the answer never.
var (
	errMissing  = model.NewError(model.CredentialMissing, "The admin API needs an administrator's password, token or client certificate.")
	errWrong    = model.NewError(model.CredentialInvalid, "The credential was not accepted.")
	errExpired  = model.NewError(model.CredentialExpired, "The credential has expired.")
	errAddress  = model.NewError(model.AddressRefused, "The credential may not be used from this address.")
	errBusy     = &model.Error{Code: model.Overloaded, Message: "Too many passwords are being checked at the moment.", RetryAfter: 1}
	errNotKnown = &model.Error{Code: model.IdentityUnavailable, Message: "Administrators cannot be looked up at the moment.", RetryAfter: 5}
)

// authenticate answers who calls. An Authorization field decides where there is
// one; a client certificate counts where there is none.
func (l *logins) authenticate(c *call) (caller, error) {
	fields := c.r.Header.Values("Authorization")
	if len(fields) > 1 {
		return l.refused(c, "", errWrong, "two Authorization fields")
	}
	if len(fields) == 0 {
		return l.byCertificate(c)
	}
	scheme, rest, _ := strings.Cut(fields[0], " ")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		name, password, ok := basic(rest)
		if !ok {
			return l.refused(c, "", errWrong, "a Basic field that is not base64 of name:password")
		}
		return l.byPassword(c, name, password)
	case strings.EqualFold(scheme, "Bearer"):
		return l.byToken(c, rest)
	}
	return l.refused(c, "", errWrong, "an unknown scheme of Authorization")
}

func basic(encoded string) (name, password string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !utf8.Valid(b) {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}

func (l *logins) byPassword(c *call, name, password string) (caller, error) {
	ctx := c.r.Context()
	var admin *model.Administrator
	if model.ValidName(name) {
		var err error
		if admin, err = l.find(ctx, name); err != nil {
			return caller{}, err
		}
		if admin != nil && admin.Name != name { // found by another of its names
			admin = nil
		}
	} else {
		name = "" // no administrator's name, and perhaps a password in the wrong place
	}
	hashes := passwords(admin)
	if cred := l.remembered(admin, hashes, password); cred != nil {
		return l.admit(c, admin, cred)
	}
	if wait := l.throttle.try(c.ip, name); wait > 0 {
		return l.throttled(c, name, wait)
	}
	cred, err := l.verify(ctx, hashes, password)
	switch {
	case err != nil:
		l.throttle.undone(c.ip, name)
		return caller{}, err
	case cred == nil:
		return l.refused(c, name, errWrong, reasonOf(admin, hashes))
	}
	who, err := l.admit(c, admin, cred)
	if err != nil {
		return caller{}, err
	}
	l.throttle.passed(c.ip, name)
	l.proven.add(admin.Name, password, cred.Hash)
	return who, nil
}

func passwords(admin *model.Administrator) (list []*model.Credential) {
	if admin == nil {
		return nil
	}
	for i := range admin.Credentials {
		if admin.Credentials[i].Type == model.Password && admin.Credentials[i].Hash != "" {
			list = append(list, &admin.Credentials[i])
		}
	}
	return list
}

func (l *logins) remembered(admin *model.Administrator, hashes []*model.Credential, password string) *model.Credential {
	for _, cred := range hashes {
		if l.proven.has(admin.Name, password, cred.Hash) {
			return cred
		}
	}
	return nil
}

// verify checks the password against each hash; against none, it takes as long
// as one takes.
func (l *logins) verify(ctx context.Context, hashes []*model.Credential, password string) (*model.Credential, error) {
	if len(hashes) == 0 {
		_, _, err := l.Passwords.Verify(ctx, "", password)
		return nil, checkable(err)
	}
	for _, cred := range hashes {
		ok, _, err := l.Passwords.Verify(ctx, cred.Hash, password)
		if err := checkable(err); err != nil {
			return nil, err
		}
		if ok {
			return cred, nil
		}
	}
	return nil, nil
}

func checkable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, secret.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errBusy.WithCause(err)
	}
	return errNotKnown.WithCause(err)
}

func (l *logins) byToken(c *call, token string) (caller, error) {
	id, hash, ok := secret.ParseAdminToken(token)
	if !ok {
		return l.guessed(c, "", "not an administrator's token")
	}
	admin, err := l.find(c.r.Context(), "token:"+id)
	if err != nil {
		return caller{}, err
	}
	if admin != nil {
		for i := range admin.Credentials {
			cred := &admin.Credentials[i]
			if cred.Type == model.AdminToken && cred.ID == id && secret.EqualHash(cred.Hash, hash) {
				return l.admit(c, admin, cred)
			}
		}
	}
	return l.guessed(c, "", "an unknown token")
}

// guessed refuses a wrong token. A right one is never made to wait for the wrong
// ones of others behind the same address: it cannot be guessed.
func (l *logins) guessed(c *call, name, detail string) (caller, error) {
	if wait := l.throttle.try(c.ip, ""); wait > 0 {
		return l.throttled(c, name, wait)
	}
	return l.refused(c, name, errWrong, detail)
}

// admit lets in whoever a proven credential belongs to, if both are in force.
func (l *logins) admit(c *call, admin *model.Administrator, cred *model.Credential) (caller, error) {
	if !admin.Active {
		return l.refused(c, admin.Name, errWrong, "the administrator is not active")
	}
	if expired(cred, l.Now()) {
		return l.refused(c, admin.Name, errExpired, "the credential has expired")
	}
	if !allowedFrom(cred, c.ip) {
		return l.refused(c, admin.Name, errAddress, "the credential may not be used from this address")
	}
	return caller{name: admin.Name, roles: narrowed(admin.Roles, cred.Scopes), credential: cred.ID}, nil
}

func expired(cred *model.Credential, now time.Time) bool {
	return cred.ExpiresAt != nil && !now.Before(*cred.ExpiresAt)
}

func allowedFrom(cred *model.Credential, ip netip.Addr) bool {
	if len(cred.Addresses) == 0 {
		return true
	}
	ps, faults := model.ParsePrefixes(cred.Addresses, "")
	return len(faults) == 0 && ps.Contains(ip)
}

// narrowed leaves the roles that a credential's scopes name, where it has scopes.
func narrowed(roles []model.AdminRole, scopes []string) []model.AdminRole {
	roles = slices.Clone(roles)
	if len(scopes) == 0 {
		return roles
	}
	return slices.DeleteFunc(roles, func(r model.AdminRole) bool { return !slices.Contains(scopes, string(r)) })
}

// still says whether a caller who was let in would be let in again.
func (l *logins) still(ctx context.Context, who caller, now time.Time) bool {
	admin, err := l.find(ctx, who.name)
	if err != nil || admin == nil || admin.Name != who.name || !admin.Active {
		return false
	}
	for i := range admin.Credentials {
		if cred := &admin.Credentials[i]; cred.ID == who.credential {
			return !expired(cred, now) && slices.Equal(narrowed(admin.Roles, cred.Scopes), who.roles)
		}
	}
	return false
}

// find looks an administrator up; nil = there is none. Not being able to tell is
// an error, and never a wrong password.
func (l *logins) find(ctx context.Context, name string) (*model.Administrator, error) {
	admin, err := l.Provision.Administrator(ctx, name)
	var e *model.Error
	switch {
	case err == nil:
		return admin, nil
	case errors.As(err, &e) && e.Code == model.NotFound:
		return nil, nil
	}
	return nil, errNotKnown.WithCause(err)
}

func reasonOf(admin *model.Administrator, hashes []*model.Credential) string {
	switch {
	case admin == nil:
		return "no such administrator"
	case len(hashes) == 0:
		return "the administrator has no password"
	}
	return "wrong password"
}

func (l *logins) throttled(c *call, name string, wait time.Duration) (caller, error) {
	e := &model.Error{Code: model.LoginThrottled, Message: "Too many logins have failed from here. Wait, then try again.",
		RetryAfter: int(math.Ceil(wait.Seconds()))}
	return l.refused(c, name, e, "too many failed logins")
}

// refused leaves an event of the attempt. The refusal stands whether or not the
// event could be written.
func (l *logins) refused(c *call, name string, e *model.Error, detail string) (caller, error) {
	err := l.Record(model.Event{Time: l.Now(), Type: model.EventLogin, Outcome: "denied", Step: "authenticate", Code: e.Code, Reason: detail,
		RequestID: c.id, Actor: name, Method: c.r.Method, Path: c.r.URL.Path, Status: e.Code.Status(),
		ClientIP: c.actor().ClientIP, UserAgent: c.r.UserAgent()})
	if err != nil {
		l.Log.Error("recording a refused login", "requestId", c.id, "error", err)
	}
	return caller{}, e
}
