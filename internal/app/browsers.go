package app

import (
	"context"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/login"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/oidc"
	"github.com/sallyport/sallyport/internal/login/saml"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/session"
	"github.com/sallyport/sallyport/internal/store"
)

// browsers makes what people need who sign in by a browser: sessions, the
// protocols of their providers, and the pages.
func (g *Gateway) browsers() error {
	key, err := secretFile(g.cfg.DataDir, "session.key", 32)
	if err != nil {
		return err
	}
	if g.sessions, err = session.New(session.Options{Store: g.store, Key: key, Settings: g.sessionSettings,
		Ended:   func(user, id string) { g.streams.CutCredential(user, id) },
		Refresh: func(ctx context.Context, r *store.SessionRecord) { g.desk.Refresh(ctx, r) }}); err != nil {
		return err
	}
	g.plans.auth.Sessions, g.plans.auth.Users = g.sessions, g.directory
	g.desk, err = login.New(login.Deps{Sessions: g.sessions, Plan: g.plans.holder.Load, Gate: g.gate, Protocols: g.protocols(), CSRF: g.csrf,
		Key: key, External: g.cfg.External, Users: g.directory.User, Log: g.log,
		Record: func(e model.Event) error { return g.audit.AppendSync(&e) }})
	return err
}

// protocols are the ways to prove somebody at a provider, by its type.
func (g *Gateway) protocols() map[model.ProviderType]flow.Protocol {
	g.party = oidc.New(oidc.Options{Keys: ProviderKeys{g.plans.keys}, Dir: filepath.Dir(g.cfg.File)})
	g.plans.accept = map[string]func(*model.IdentityProvider) error{"clientKeyFile": g.party.CheckFile}
	base := filepath.Dir(g.cfg.File)
	g.saml = saml.New(saml.Options{Dir: filepath.Join(g.cfg.DataDir, "saml"), Base: base})
	g.plans.retain = append(g.plans.retain, g.party.Retain, g.saml.Retain, g.retune)
	return map[model.ProviderType]flow.Protocol{model.ProviderOIDC: g.party, model.ProviderSAML: g.saml}
}

// retune takes up a configuration that was published: sessions may last longer or
// shorter, and providers that are switched off take with them what their sessions
// have open.
func (g *Gateway) retune(providers []model.IdentityProvider) {
	g.sessions.Retune()
	vouches := map[string]bool{"": true}
	for i := range providers {
		vouches[providers[i].Name] = providers[i].Enabled
	}
	g.sessions.Cut(func(provider string) bool { return vouches[provider] })
}

// sessionSettings are those in force; the defaults before there are any.
func (g *Gateway) sessionSettings() model.Sessions {
	if plan := g.plans.holder.Load(); plan != nil {
		return plan.Set.Settings.Sessions
	}
	var s model.Sessions
	s.Defaults()
	return s
}

// endSessions ends what a user who may no longer act has signed in to. The store
// has forgotten it by itself; this is for memory.
func (g *Gateway) endSessions(ctx context.Context, userID string) {
	if _, err := g.sessions.End(ctx, session.Which{UserID: userID}); err != nil {
		g.log.Warn("a user's sessions are over here, and could not be deleted from the store", "user", userID, "cause", err)
	}
}

// sessions are the logins as the admin API sees them.
type sessions struct{ g *Gateway }

// List answers a page of those that run.
func (s sessions) List(ctx context.Context, user, provider, after string, limit int) ([]model.Session, error) {
	w := session.Which{Provider: provider}
	if user != "" {
		found, err := s.g.directory.Find(ctx, directory.Key{By: directory.ByUsername, A: model.FoldUsername(user)})
		if err != nil {
			return nil, err
		}
		if found.Principal == nil {
			return nil, nil
		}
		w.UserID = found.Principal.User.ID
	}
	return s.g.sessions.List(ctx, w, after, limit)
}

// Get answers one, nil where there is none that runs.
func (s sessions) Get(ctx context.Context, id string) (*model.Session, error) {
	list, err := s.g.sessions.List(ctx, session.Which{ID: id}, "", 1)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// End records who ends a session, and ends it.
func (s sessions) End(ctx context.Context, a provision.Actor, m *model.Session) error {
	if err := s.g.audit.AppendSync(&model.Event{Time: time.Now(), Type: model.EventAdmin, Outcome: "allowed", Reason: a.Reason, RequestID: a.RequestID,
		Actor: a.Name, ClientIP: a.ClientIP, User: m.User, Provider: m.Provider, Credential: m.ID,
		Changes: []model.Change{{Kind: "sessions", Name: m.ID, Action: "delete"}}}); err != nil {
		return (&model.Error{Code: model.AuditUnavailable, RetryAfter: 5, Message: "The end could not be recorded, so the session goes on."}).WithCause(err)
	}
	_, err := s.g.sessions.End(ctx, session.Which{ID: m.ID})
	return err
}
