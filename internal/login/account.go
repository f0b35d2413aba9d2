package login

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
)

// row is a session as its owner sees it.
type row struct {
	ID, Method, Provider string
	Began, Seen, Ends    string
	ClientIP, Agent      string
	This                 bool
}

// account shows a person's own sessions, each of which it can end.
func (v *visit) account() error {
	ctx := v.r.Context()
	if v.form != nil {
		if err := v.sameSite(); err != nil { // session or not
			return err
		}
	}
	s, who, err := v.current(ctx)
	if err != nil {
		return err
	}
	if s == nil {
		if v.form != nil {
			return model.NewError(model.CredentialMissing, "You are not signed in any more.")
		}
		return v.redirect(pathLogin + "?" + url.Values{"return": {pathAccount}}.Encode())
	}
	// Whoever may not use it from here can still sign out (logout).
	if found := (gate.SignedIn{Principal: who, Credential: s.Credential}); !found.Admits(v.from) {
		return v.notFromHere()
	}
	if v.form != nil {
		if err := v.genuine(s); err != nil {
			return err
		}
		if err := v.endOwn(s.ID, who.User.ID, who.User.Username); err != nil {
			return err
		}
		return v.redirect(pathAccount)
	}
	list, err := v.desk.Sessions.List(ctx, session.Which{UserID: who.User.ID}, "", 100)
	if err != nil {
		return err
	}
	shown := view{Title: "Your sessions", User: who.User.Username, DisplayName: who.User.DisplayName, CSRF: v.token(s)}
	for i := range list {
		shown.Sessions = append(shown.Sessions, rowOf(&list[i], s.ID))
	}
	slices.SortStableFunc(shown.Sessions, func(a, b row) int { // this browser's first
		switch {
		case a.This == b.This:
			return 0
		case a.This:
			return -1
		}
		return 1
	})
	return v.page(http.StatusOK, "account", shown)
}

func rowOf(m *model.Session, this string) row {
	text := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
	return row{ID: m.ID, Method: m.Method, Provider: m.Provider, Began: text(m.CreatedAt), Seen: text(m.LastSeenAt), Ends: text(m.ExpiresAt),
		ClientIP: m.ClientIP, Agent: m.UserAgent, This: m.ID == this}
}

// endOwn ends one of a person's sessions, or all but this one. Another person's is
// not theirs to end, and not theirs to know of.
func (v *visit) endOwn(this, userID, username string) error {
	ctx := v.r.Context()
	list, err := v.desk.Sessions.List(ctx, session.Which{UserID: userID}, "", 0)
	if err != nil {
		return err
	}
	asked := v.form.Get("session")
	for i := range list {
		id := list[i].ID
		if id != asked && (asked != "others" || id == this) {
			continue
		}
		if err := v.desk.record(v, &model.Event{Outcome: "allowed", Step: "logout", Reason: "ended by its owner", User: username, Credential: id}); err != nil {
			return err
		}
		if _, err := v.desk.Sessions.End(ctx, session.Which{ID: id, UserID: userID}); err != nil {
			return err
		}
	}
	return nil
}
