package login

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

// Deps are what logins need from outside. All are required.
type Deps struct {
	// Find answers an administrator by name, or by a credential's public name as
	// "token:ID", "fingerprint:HEX", "uri:…", "dns:…", "email:…" or "subject:…",
	// hashes included. A NotFound *model.Error says that there is none; any other
	// error that it cannot be told.
	Find func(ctx context.Context, name string) (*model.Administrator, error)
	// Passwords checks a password against a stored hash. An empty hash costs what
	// a real one does and never matches, so that unknown names take as long as
	// known ones.
	Passwords Passwords
	// Certificate is the client's, fully verified; nil where there is none.
	Certificate func(*http.Request) *x509.Certificate
	// Record writes the event of a refusal.
	Record func(model.Event) error
	Now    func() time.Time
	Log    *slog.Logger
}

// Passwords checks passwords; *secret.Hasher is one.
type Passwords interface {
	Verify(ctx context.Context, hash, password string) (ok, upgrade bool, err error)
}

// Attempt is one request that wants in.
type Attempt struct {
	Request   *http.Request
	RequestID string
	ClientIP  netip.Addr
}

// Caller is an administrator that has logged in, with the credential that proved it.
type Caller struct {
	Name       string
	Roles      []model.AdminRole // narrowed by the credential's scopes
	Credential string            // its id
}

// Logins finds out which administrator calls. It is safe for concurrent use.
type Logins struct {
	Deps
	throttle *throttle
	proven   *proven
}

// New makes the logins.
func New(d Deps) *Logins {
	return &Logins{Deps: d, throttle: newThrottle(d.Now), proven: newProven(d.Now)}
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

// Authenticate answers who calls, or the refusal. An Authorization field decides where there is
// one; a client certificate counts where there is none.
func (l *Logins) Authenticate(a *Attempt) (Caller, error) {
	fields := a.Request.Header.Values("Authorization")
	if len(fields) > 1 {
		return l.refused(a, "", errWrong, "two Authorization fields")
	}
	if len(fields) == 0 {
		return l.byCertificate(a)
	}
	scheme, rest, _ := strings.Cut(fields[0], " ")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		name, password, ok := basic(rest)
		if !ok {
			return l.refused(a, "", errWrong, "a Basic field that is not base64 of name:password")
		}
		return l.byPassword(a, name, password)
	case strings.EqualFold(scheme, "Bearer"):
		return l.byToken(a, rest)
	}
	return l.refused(a, "", errWrong, "an unknown scheme of Authorization")
}

func basic(encoded string) (name, password string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !utf8.Valid(b) {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}

func (l *Logins) byPassword(a *Attempt, name, password string) (Caller, error) {
	ctx := a.Request.Context()
	var admin *model.Administrator
	if model.ValidName(name) {
		var err error
		if admin, err = l.find(ctx, name); err != nil {
			return Caller{}, err
		}
		if admin != nil && admin.Name != name { // found by another of its names
			admin = nil
		}
	} else {
		name = "" // no administrator's name, and perhaps a password in the wrong place
	}
	hashes := passwords(admin)
	if cred := l.remembered(admin, hashes, password); cred != nil {
		return l.admit(a, admin, cred)
	}
	if wait := l.throttle.try(a.ClientIP, name); wait > 0 {
		return l.throttled(a, name, wait)
	}
	cred, err := l.verify(ctx, hashes, password)
	switch {
	case err != nil:
		l.throttle.undone(a.ClientIP, name)
		return Caller{}, err
	case cred == nil:
		return l.refused(a, name, errWrong, reasonOf(admin, hashes))
	}
	who, err := l.admit(a, admin, cred)
	if err != nil {
		return Caller{}, err
	}
	l.throttle.passed(a.ClientIP, name)
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

func (l *Logins) remembered(admin *model.Administrator, hashes []*model.Credential, password string) *model.Credential {
	for _, cred := range hashes {
		if l.proven.has(admin.Name, password, cred.Hash) {
			return cred
		}
	}
	return nil
}

// verify checks the password against each hash; against none, it takes as long
// as one takes.
func (l *Logins) verify(ctx context.Context, hashes []*model.Credential, password string) (*model.Credential, error) {
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

func (l *Logins) byToken(a *Attempt, token string) (Caller, error) {
	id, hash, ok := secret.ParseAdminToken(token)
	if !ok {
		return l.guessed(a, "not an administrator's token")
	}
	admin, err := l.find(a.Request.Context(), "token:"+id)
	if err != nil {
		return Caller{}, err
	}
	if admin != nil {
		for i := range admin.Credentials {
			cred := &admin.Credentials[i]
			if cred.Type == model.AdminToken && cred.ID == id && secret.EqualHash(cred.Hash, hash) {
				return l.admit(a, admin, cred)
			}
		}
	}
	return l.guessed(a, "an unknown token")
}

// guessed refuses a wrong token. A right one is never made to wait for the wrong
// ones of others behind the same address: it cannot be guessed.
func (l *Logins) guessed(a *Attempt, detail string) (Caller, error) {
	if wait := l.throttle.try(a.ClientIP, ""); wait > 0 {
		return l.throttled(a, "", wait)
	}
	return l.refused(a, "", errWrong, detail)
}

// admit lets in whoever a proven credential belongs to, if both are in force.
func (l *Logins) admit(a *Attempt, admin *model.Administrator, cred *model.Credential) (Caller, error) {
	if !admin.Active {
		return l.refused(a, admin.Name, errWrong, "the administrator is not active")
	}
	if expired(cred, l.Now()) {
		return l.refused(a, admin.Name, errExpired, "the credential has expired")
	}
	if !allowedFrom(cred, a.ClientIP) {
		return l.refused(a, admin.Name, errAddress, "the credential may not be used from this address")
	}
	return Caller{Name: admin.Name, Roles: narrowed(admin.Roles, cred.Scopes), Credential: cred.ID}, nil
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

// Still says whether a caller who was let in would be let in again.
func (l *Logins) Still(ctx context.Context, who Caller) bool {
	admin, err := l.find(ctx, who.Name)
	if err != nil || admin == nil || admin.Name != who.Name || !admin.Active {
		return false
	}
	for i := range admin.Credentials {
		if cred := &admin.Credentials[i]; cred.ID == who.Credential {
			return !expired(cred, l.Now()) && slices.Equal(narrowed(admin.Roles, cred.Scopes), who.Roles)
		}
	}
	return false
}

// find looks an administrator up; nil = there is none. Not being able to tell is
// an error, and never a wrong password.
func (l *Logins) find(ctx context.Context, name string) (*model.Administrator, error) {
	admin, err := l.Deps.Find(ctx, name)
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

func (l *Logins) throttled(a *Attempt, name string, wait time.Duration) (Caller, error) {
	e := &model.Error{Code: model.LoginThrottled, Message: "Too many logins have failed from here. Wait, then try again.",
		RetryAfter: int(math.Ceil(wait.Seconds()))}
	return l.refused(a, name, e, "too many failed logins")
}

// refused leaves an event of the attempt. The refusal stands whether or not the
// event could be written.
func (l *Logins) refused(a *Attempt, name string, e *model.Error, detail string) (Caller, error) {
	err := l.Record(model.Event{Time: l.Now(), Type: model.EventLogin, Outcome: "denied", Step: "authenticate", Code: e.Code, Reason: detail,
		RequestID: a.RequestID, Actor: name, Method: a.Request.Method, Path: a.Request.URL.Path, Status: e.Code.Status(),
		ClientIP: address(a.ClientIP), UserAgent: a.Request.UserAgent()})
	if err != nil {
		l.Log.Error("recording a refused login", "requestId", a.RequestID, "error", err)
	}
	return Caller{}, e
}

func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
