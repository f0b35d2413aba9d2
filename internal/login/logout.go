package login

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
)

func claimsOf(body []byte) (claims map[string]any) {
	_ = json.Unmarshal(body, &claims)
	return claims
}

// genuine refuses a form of a signed-in person that the gateway's own page did not
// make: the origin first, then the token.
func (v *visit) genuine(s *directory.Session) error {
	if err := v.sameSite(); err != nil {
		return err
	}
	if s == nil {
		return nil
	}
	field := v.form.Get("csrf")
	f := csrf.Facts{Method: http.MethodPost, Scheme: v.desk.External.Scheme, Host: v.originHost(), Fields: v.fields(), Session: true,
		Binding: binding(s.UserID, s.ID), Form: &field}
	if e := v.desk.CSRF.Verify(&f); e != nil {
		return e
	}
	return nil
}

// logout shows a form to confirm, and ends the session here and at its provider.
func (v *visit) logout() error {
	ctx := v.r.Context()
	s, who, err := v.current(ctx)
	if err != nil {
		return err
	}
	if v.form == nil {
		if s == nil {
			return v.goodbye()
		}
		return v.confirm(s, who)
	}
	if err := v.genuine(s); err != nil {
		return err
	}
	if s == nil {
		v.setCookie(sessionCookie, "", http.SameSiteLaxMode)
		return v.goodbye()
	}
	r, keep, err := v.desk.Sessions.Record(ctx, s.ID)
	if err != nil {
		return (&model.Error{Code: model.IdentityUnavailable, RetryAfter: 5, Message: "The session cannot be ended at the moment."}).WithCause(err)
	}
	if err := v.desk.record(v, &model.Event{Outcome: "allowed", Step: "logout", Reason: "logout", User: who.User.Username, Provider: s.Provider, Credential: s.ID}); err != nil {
		return err
	}
	which := session.Which{ID: s.ID}
	if r != nil {
		which = session.Whole(r)
	}
	if _, err := v.desk.Sessions.End(ctx, which); err != nil {
		return err
	}
	v.setCookie(sessionCookie, "", http.SameSiteLaxMode)
	if out := v.farewell(ctx, s.Provider, keep); out != nil {
		return v.leave(v.provider(s.Provider), out)
	}
	return v.goodbye()
}

// farewell is how the session is ended at its provider; nil = it is not.
func (v *visit) farewell(ctx context.Context, provider string, keep []byte) *flow.Departure {
	p := v.provider(provider)
	if p == nil {
		return nil
	}
	e, ok := v.desk.Protocols[p.Type].(flow.Ender)
	if !ok {
		return nil
	}
	back, err := url.Parse(v.base(pathLogout))
	if err != nil {
		return nil
	}
	a := &attempt{ID: newText(16), Provider: p.Name, Began: v.now.Unix()}
	out, err := e.End(ctx, v.attemptFor(p, a), keep, back)
	if err != nil {
		v.desk.Log.Warn("the session was ended here, and could not be ended at its provider", "provider", provider, "cause", err)
		return nil
	}
	return out
}

// goodbye is where a browser goes when it is signed out.
func (v *visit) goodbye() error {
	if to := v.plan.Set.Settings.ReverseProxyAuthentication.LogoutURL; to != nil && *to != "" && *to != pathLogout {
		return v.redirect(*to)
	}
	return v.page(http.StatusOK, "message", view{Title: "You are signed out", Message: "Your session has ended."})
}

func (v *visit) confirm(s *directory.Session, who *directory.Principal) error {
	return v.page(http.StatusOK, "logout", view{Title: "Sign out", User: who.User.Username, CSRF: v.token(s), Targets: v.outward(s.Provider)})
}

// outward are the origins to which the form that signs out may lead by redirects:
// the provider's, which it may hand on to others of its own, and logoutUrl's.
func (v *visit) outward(provider string) []string {
	list := []string{"https:"}
	if p := v.provider(provider); p != nil {
		list = append(list, originOf(p.Issuer), originOf(p.MetadataURL))
	}
	if to := v.plan.Set.Settings.ReverseProxyAuthentication.LogoutURL; to != nil {
		list = append(list, originOf(*to))
	}
	return list
}

// token is the value for the forms of a signed-in person, whose cookie is set again
// where it is not the same.
func (v *visit) token(s *directory.Session) string {
	token := v.desk.CSRF.Token(binding(s.UserID, s.ID))
	if v.cookie(csrf.Cookie) != token {
		v.w.Header().Add("Set-Cookie", csrfCookie(token))
	}
	return token
}

// ended ends the sessions that a provider says have ended there.
func (v *visit) ended(p *model.IdentityProvider, e *flow.Ended) error {
	if e.ID == "" || !v.desk.used.first(p.Name+" logout "+e.ID, e.Until) {
		return model.NewError(model.RequestMalformed, "The message was used already.")
	}
	which := session.Which{Provider: p.Name, Subject: e.Subject, SID: e.SID}
	if e.SID != "" {
		which.Subject = ""
	}
	if e.SID == "" && e.Subject == "" {
		return model.NewError(model.RequestMalformed, "The message names neither a session nor a subject.")
	}
	n, err := v.desk.Sessions.End(v.r.Context(), which)
	if err != nil {
		return err
	}
	return v.desk.record(v, &model.Event{Outcome: "allowed", Step: "logout", Reason: "ended by the provider", Actor: p.Name, Provider: p.Name, Count: int64(n)})
}

// backchannel is a provider's own call to end sessions (OpenID Connect
// Back-Channel Logout 1.0). No browser is there, so no origin is asked for.
func (v *visit) backchannel(name string) error {
	p := v.provider(name)
	if p == nil || v.form == nil {
		return model.NewError(model.NotFound, "No provider of that name ends sessions here.")
	}
	b, ok := v.desk.Protocols[p.Type].(Backchannel)
	if !ok {
		return model.NewError(model.NotFound, "No provider of that name ends sessions here.")
	}
	e, err := b.Logout(v.r.Context(), p, v.form.Get("logout_token"))
	if err == nil {
		err = v.ended(p, e)
	}
	if err != nil {
		known := model.AsError(err)
		v.desk.note(v, &model.Event{Outcome: "denied", Provider: name}, err)
		if known.Code.Status() < 500 { // section 2.8 of the specification knows 400 alone
			known = &model.Error{Code: model.RequestMalformed, Message: known.Message, Err: known.Err}
		}
		return known
	}
	v.w.WriteHeader(http.StatusOK)
	return nil
}

// metadata describes the gateway to a SAML provider.
func (v *visit) metadata(name string) error {
	p := v.provider(name)
	if p == nil {
		return model.NewError(model.NotFound, "There is no provider of that name.")
	}
	m, ok := v.desk.Protocols[p.Type].(Metadata)
	if !ok {
		return model.NewError(model.NotFound, "That provider asks for no metadata.")
	}
	body, err := m.Metadata(p, v.desk.External)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = v.w.Write(body)
	return nil
}

// departed is the logout that we began at a provider, by the state that it brings
// back; one that nobody began where the provider began it.
func (v *visit) departed(p *model.IdentityProvider) *flow.Attempt {
	state := v.query.Get("RelayState")
	if v.form != nil {
		state = v.form.Get("RelayState")
	}
	if a, err := v.open(state); err == nil && a.Provider == p.Name {
		v.relayDone(a)
		return v.desk.attempt(p, a, state)
	}
	return &flow.Attempt{Provider: p, Base: v.desk.External, Began: v.now}
}

// singleLogout is a SAML provider ending sessions through the browser, or its
// answer to our own request.
func (v *visit) singleLogout(name string) error {
	p := v.provider(name)
	if p == nil {
		return model.NewError(model.NotFound, "There is no provider of that name.")
	}
	l, ok := v.desk.Protocols[p.Type].(flow.SingleLogout)
	if !ok {
		return model.NewError(model.NotFound, "That provider ends no sessions here.")
	}
	e, out, err := l.Logout(v.r.Context(), v.departed(p), &flow.Return{Request: v.r, Query: v.query, Form: v.form})
	if err != nil {
		v.desk.note(v, &model.Event{Outcome: "denied", Provider: name}, err)
		return err
	}
	if e != nil {
		if err := v.ended(p, e); err != nil {
			return err
		}
	}
	if out != nil {
		return v.leave(p, out)
	}
	return v.goodbye()
}
