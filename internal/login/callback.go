package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
)

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// attempt is an attempt as its protocol sees it.
func (d *Desk) attempt(p *model.IdentityProvider, a *attempt, state string) *flow.Attempt {
	return &flow.Attempt{Provider: p, Base: d.External, State: state, Secret: d.states.secretOf(a), Began: time.Unix(a.Began, 0)}
}

// callback is where a browser comes back from its provider.
func (v *visit) callback() error {
	state := v.query.Get("state")
	if v.form != nil {
		state = v.form.Get("RelayState")
	}
	a, err := v.open(state)
	if a != nil {
		v.again = v.begin(&attempt{Return: a.Return})
	}
	switch {
	case errors.Is(err, errForeign):
		return v.unasked(state)
	case errors.Is(err, errLost):
		return v.startOver(a, errLost.Error())
	case err != nil:
		return v.startOver(a, "the login took too long")
	case !equal(a.Bind, hashOf(v.cookie(loginCookie))):
		// Somebody else's login, brought here to have this browser finish it, or one
		// whose cookie is gone.
		return v.startOver(&attempt{Return: a.Return, Again: a.Again, Began: a.Began}, "the login was begun by another browser")
	case !v.desk.used.first("attempt "+a.ID, v.now.Add(attemptLife)):
		return v.startOver(a, "the login was finished already")
	}
	v.relayDone(a)
	p := v.provider(a.Provider)
	if p == nil || v.desk.Protocols[p.Type] == nil || v.r.URL.Path != returnPath(p) {
		a.Provider = "" // switched off meanwhile (Keycloak CVE-2026-2603), or not the one whose address this is
		return v.startOver(a, "the login was begun at a provider that is no longer in use here, or at another one")
	}
	return v.prove(p, a, v.desk.attempt(p, a, state))
}

// returnPath is where a provider sends browsers back to. One provider's answer is
// never taken at another's address.
func returnPath(p *model.IdentityProvider) string {
	if p.Type == model.ProviderSAML {
		return pathSAML + p.Name + "/acs"
	}
	return pathCallback
}

// prove has the protocol judge what came back, and the gate say who that is here.
func (v *visit) prove(p *model.IdentityProvider, a *attempt, asked *flow.Attempt) error {
	denied := func(err error) error {
		v.desk.note(v, &model.Event{Outcome: "denied", Provider: p.Name}, err)
		return err
	}
	id, err := v.desk.Protocols[p.Type].Finish(v.r.Context(), asked, &flow.Return{Request: v.r, Query: v.query, Form: v.form})
	if err != nil {
		return denied(err)
	}
	if (id.Once != "" || asked.Secret == "") && !v.desk.used.first(p.Name+" "+id.Once, id.OnceUntil) {
		return denied(model.NewError(model.CredentialInvalid, "What the provider sent was used already."))
	}
	proof := &Proof{Method: model.MethodSession, Provider: p.Name, Subject: id.Subject, Claims: withSubject(id), Ambient: true, Issued: id.Issued}
	found, err := v.desk.Gate.SignIn(v.r.Context(), v.plan, proof, v.now)
	if err != nil {
		return denied(err)
	}
	return v.enter(found, string(p.Type), id, a)
}

// withSubject is the claims with sub among them, which mappings may fall back on.
func withSubject(id *flow.Identity) map[string]any {
	if _, ok := id.Claims["sub"]; ok {
		return id.Claims
	}
	claims := map[string]any{"sub": id.Subject}
	for k, c := range id.Claims {
		claims[k] = c
	}
	return claims
}

// unasked is an answer that nobody asked for: a provider may begin a login only
// where its resource says so.
func (v *visit) unasked(relay string) error {
	for i := range v.plan.Set.IdentityProviders {
		p := &v.plan.Set.IdentityProviders[i]
		if p.Enabled && p.AllowIDPInitiated && v.form != nil && v.desk.Protocols[p.Type] != nil && v.r.URL.Path == returnPath(p) {
			return v.prove(p, &attempt{Return: checkReturn(relay, v.origin(), v.desk.External, v.plan)},
				&flow.Attempt{Provider: p, Base: v.desk.External, Began: v.now})
		}
	}
	return v.startOver(&attempt{Return: "/"}, "the answer belongs to no login of this gateway's")
}

// roundTrip is less than any person needs at a provider: who comes back so soon,
// again, goes round in a circle.
const roundTrip = 10 * time.Second

// startOver begins a login again that cannot be finished. A browser that keeps no
// cookies would go round in circles, and is told so; one that has a session by now
// has no need of another.
func (v *visit) startOver(a *attempt, why string) error {
	v.desk.Log.Info("a login starts over", "cause", why)
	if a.Again && (v.cookie(loginCookie) == "" || v.now.Sub(time.Unix(a.Began, 0)) < roundTrip) {
		if s, _, err := v.current(v.r.Context()); err != nil || s != nil {
			if err != nil {
				return err
			}
			return v.redirect(a.Return)
		}
		return model.NewError(model.RequestMalformed, "The login could not be finished: "+why+". Your browser may be refusing cookies; allow them for this site, and start over.")
	}
	next := *a
	next.Again = true
	return v.redirect(v.begin(&next))
}

// begin is the address at which the login of an attempt begins.
func (v *visit) begin(a *attempt) string {
	q := url.Values{"return": {a.Return}}
	if a.Again {
		q.Set("again", "1")
	}
	if a.Provider != "" {
		q.Set("provider", a.Provider)
	}
	if a.HostBind != "" {
		q.Set("bind", a.HostBind)
	}
	return pathLogin + "?" + q.Encode()
}

// notFromHere refuses a credential that is good from other addresses alone.
func (v *visit) notFromHere() *model.Error {
	return authn.Refusal(model.AddressRefused).WithCause(errors.New("the credential is limited to other addresses than " + v.clientIP()))
}

// enter begins the session and sends the browser on. A session that the browser
// had before ends: its name might be another's knowledge (GHSA-f24x-5g9q-753f).
func (v *visit) enter(found *gate.SignedIn, method string, id *flow.Identity, a *attempt) error {
	ctx := v.r.Context()
	who := &found.Principal.User
	if !found.Admits(v.from) {
		err := v.notFromHere()
		v.desk.note(v, &model.Event{Outcome: "denied", User: who.Username, Provider: found.Proof.Provider, Credential: found.Credential}, err)
		return err
	}
	sid := id.SID
	if sid == "" {
		sid = "login:" + newText(12) // joins the sessions that one login begins on several hosts
	}
	l := &session.Login{User: who, Credential: found.Credential, Provider: found.Proof.Provider, Method: method, Subject: id.Subject, SID: sid,
		Claims: id.Claims, Keep: id.Keep, Refresh: id.Refresh, Expires: id.Expires, ClientIP: v.clientIP(), UserAgent: v.r.UserAgent()}
	if err := v.desk.record(v, &model.Event{Outcome: "allowed", User: who.Username, Provider: found.Proof.Provider, Credential: found.Credential,
		Reason: dropped(found.Dropped)}); err != nil {
		return err
	}
	cookie, s, err := v.desk.Sessions.Begin(ctx, l)
	if err != nil {
		return err
	}
	v.endFormer(ctx, sid)
	v.signIn(cookie, who.ID, s.ID)
	if a.Host != "" {
		return v.handOver(&loan{session: s.ID, user: who.ID, host: a.Host, bind: a.HostBind, ret: a.Return})
	}
	return v.redirect(a.Return)
}

// mostDropped bounds what an event says of names that mean nothing here: some
// directories tell thousands.
const mostDropped = 1 << 10

func dropped(names string) string {
	switch {
	case names == "":
		return ""
	case len(names) > mostDropped:
		names = strings.ToValidUTF8(names[:mostDropped], "") + "…"
	}
	return "unknown here and dropped: " + names
}

// endFormer ends the login that the browser had before, on all hosts; sid is the new
// one's.
func (v *visit) endFormer(ctx context.Context, sid string) {
	former, err := v.desk.Sessions.Find(ctx, v.cookie(sessionCookie), v.now)
	if err != nil || former == nil {
		return
	}
	which := session.Which{ID: former.ID}
	if r, _, err := v.desk.Sessions.Record(ctx, former.ID); err == nil && r != nil && r.SID != sid {
		which = session.Whole(r)
	}
	if _, err := v.desk.Sessions.End(ctx, which); err != nil {
		v.desk.Log.Warn("the browser's former session could not be ended", "session", former.ID, "cause", err)
	}
}

// signIn gives the browser its cookies: the session's, and the token's that goes
// with it.
func (v *visit) signIn(cookie, userID, sessionID string) {
	v.setCookie(sessionCookie, cookie, http.SameSiteLaxMode)
	v.w.Header().Add("Set-Cookie", csrfCookie(v.desk.CSRF.Token(binding(userID, sessionID))))
}

// binding is what the token is bound to, as the gate binds it.
func binding(userID, sessionID string) string { return gate.SessionBinding(userID, sessionID) }
