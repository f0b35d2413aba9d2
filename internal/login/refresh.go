package login

import (
	"context"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
	"github.com/sallyport/sallyport/internal/store"
)

// Refresh asks a session's provider what it says of the person now, and takes that
// over; r holds what is kept for the provider in the clear. Where the provider no
// longer stands by the session it ends; where it cannot be asked, the session goes
// on, and it is asked again later.
func (d *Desk) Refresh(ctx context.Context, r *store.SessionRecord) {
	plan := d.Plan()
	if plan == nil {
		return
	}
	v := &visit{desk: d, plan: plan, now: d.Now()}
	p := v.provider(r.Provider)
	if p == nil {
		return // switched off or gone: its sessions count as none anyway
	}
	ask, ok := d.Protocols[p.Type].(flow.Refresher)
	if !ok {
		return
	}
	if who, err := d.Users(ctx, r.UserID); err != nil || who == nil || !who.User.Active {
		return // whoever was deleted here must not be made anew by an old login
	}
	id, err := ask.Refresh(ctx, p, r.Sealed)
	if err == nil && id.Subject != r.Subject {
		err = model.NewError(model.CredentialInvalid, "The provider speaks of another subject.")
	}
	if err == nil {
		_, err = d.Gate.SignIn(ctx, plan, &Proof{Method: model.MethodSession, Provider: p.Name, Subject: id.Subject, Claims: withSubject(id),
			Ambient: true, Issued: id.Issued}, v.now)
	}
	if id != nil && id.Keep != nil { // beside an error, too
		r.Sealed = id.Keep
	}
	switch {
	case err == nil:
	case model.AsError(err).Code.Status() < 500:
		d.Log.Info("a session ends, for its provider no longer stands by it", "session", r.ID, "provider", r.Provider, "cause", err)
		if _, err := d.Sessions.End(ctx, session.Whole(r)); err != nil {
			d.Log.Error("it could not be ended", "session", r.ID, "cause", err)
		}
		return
	default:
		d.Log.Warn("a session's provider could not be asked again", "session", r.ID, "provider", r.Provider, "cause", err)
		if id != nil && id.Keep != nil {
			// It has replaced the refresh token already, and the old one, sent again,
			// would end the session there.
			d.renew(ctx, r, claimsOf(r.Claims))
		}
		return
	}
	r.Refresh = id.Refresh
	d.renew(ctx, r, id.Claims)
}

func (d *Desk) renew(ctx context.Context, r *store.SessionRecord, claims map[string]any) {
	if err := d.Sessions.Renew(ctx, r, claims); err != nil {
		d.Log.Error("what a provider says now could not be kept", "session", r.ID, "cause", err)
	}
}
