package gate

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// LoginPath is where browsers sign in, on every host.
const LoginPath = "/.sallyport/login"

// browserLogin says whether anybody can sign in by a browser.
func (p *Plan) browserLogin() bool {
	if p.Set.Settings.Sessions.PasswordLogin {
		return true
	}
	for i := range p.Set.IdentityProviders {
		if pr := &p.Set.IdentityProviders[i]; pr.Enabled && pr.BrowserLogin() {
			return true
		}
	}
	return false
}

// login is the address of the login that a route with this requirement sends
// browsers to, up to the return path: at the provider that the route asks for,
// where it asks for one alone.
func (p *Plan) login(want *model.Requirement) string {
	found, provider, several := false, "", false
	want.Leaves(func(l *model.Requirement) {
		if l.Method != model.MethodSession {
			return
		}
		several = several || found && l.Provider != provider
		found, provider = true, l.Provider
	})
	switch {
	case !found || !p.browserLogin():
		return ""
	case provider == "" || several:
		return LoginPath + "?return="
	}
	return LoginPath + "?provider=" + url.QueryEscape(provider) + "&return="
}

// signedIn says whether a session was proven: who has one and lacks something else
// would come back from the login as he went.
func (ex *Exchange) signedIn() bool {
	for i := range ex.Found {
		if m := &ex.Methods[i]; m.Method == model.MethodSession && m.Outcome == authn.Proven {
			return true
		}
	}
	return false
}

// SignedIn is whom a browser login proved.
type SignedIn struct {
	Principal  *directory.Principal
	Credential string // the id of the user's credential or link
	Proof      *authn.Proof
	Dropped    string // roles and groups that the provider asserts and that do not exist here
}

// Admits says whether the credential that was proven may be used from an address.
func (s *SignedIn) Admits(from netip.Addr) bool {
	c := s.Principal.Credential(s.Credential)
	if c == nil || len(c.Addresses) == 0 {
		return true
	}
	ps, _ := model.ParsePrefixes(c.Addresses, "")
	return ps.Contains(from)
}

// SignIn finds, links or makes the user whom a provider vouches for, as resolve
// does for a request, and asks whether it may still act. The error's cause is for
// audit and logs alone.
func (g *Gate) SignIn(ctx context.Context, p *Plan, proof *authn.Proof, at time.Time) (*SignedIn, error) {
	ex := &Exchange{Plan: p, Request: model.Request{Time: at}}
	found, err := g.principal(ctx, ex, proof)
	if err != nil {
		e := model.AsError(err)
		if e.Err == nil && ex.Detail != "" {
			e = e.WithCause(errors.New(ex.Detail))
		}
		return nil, e
	}
	s := &SignedIn{Principal: found.Principal, Proof: found, Dropped: ex.Dropped}
	if found.Credential != nil {
		s.Credential = found.Credential.ID
		return s, nil
	}
	for i := range found.Principal.User.Credentials {
		if c := &found.Principal.User.Credentials[i]; c.Type == model.Link && c.Provider == proof.Provider && c.Subject == proof.Subject {
			s.Credential = c.ID
		}
	}
	return s, nil
}

// Password is SignIn for a name and a password, checked as the method basic does.
func (g *Gate) Password(ctx context.Context, p *Plan, username, password string, at time.Time) (*SignedIn, error) {
	r := &model.Request{Time: at, Anew: true, Fields: []model.Field{{Name: "Authorization",
		Value: "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))}}}
	if strings.Contains(username, ":") {
		return nil, authn.Refusal(model.CredentialInvalid).WithCause(errors.New("the username has a colon"))
	}
	for _, m := range p.methods {
		if m.Name() != model.MethodBasic {
			continue
		}
		switch res := m.Authenticate(ctx, r); res.Outcome {
		case authn.Proven:
			return g.SignIn(ctx, p, res.Proof, at)
		case authn.Bad:
			if res.Err.Err == nil {
				return nil, res.Err.WithCause(errors.New(res.Detail))
			}
			return nil, res.Err
		}
	}
	return nil, authn.Refusal(model.CredentialInvalid).WithCause(errors.New("no password was given"))
}

// binding is what a CSRF token is bound to: the credential that browsers send
// unasked.
func binding(userID, method, credentialID string) string {
	b := userID + "\x00" + method
	if credentialID != "" {
		b += "\x00" + credentialID
	}
	return b
}

// SessionBinding is the binding of a session, for the forms on the gateway's own pages.
func SessionBinding(userID, sessionID string) string {
	return binding(userID, model.MethodSession, sessionID)
}
