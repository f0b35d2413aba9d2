package app

import (
	"context"
	"path/filepath"

	"github.com/sallyport/sallyport/internal/login"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/oidc"
	"github.com/sallyport/sallyport/internal/model"
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
	protocols, err := g.protocols()
	if err != nil {
		return err
	}
	g.desk, err = login.New(login.Deps{Sessions: g.sessions, Plan: g.plans.holder.Load, Gate: g.gate, Protocols: protocols, CSRF: g.csrf,
		Key: key, External: g.cfg.External, Users: g.directory.User, Log: g.log,
		Record: func(e model.Event) error { return g.audit.AppendSync(&e) }})
	return err
}

// protocols are the ways to prove somebody at a provider, by its type.
func (g *Gateway) protocols() (map[model.ProviderType]flow.Protocol, error) {
	g.party = oidc.New(oidc.Options{Keys: ProviderKeys{g.plans.keys}, Dir: filepath.Dir(g.cfg.File)})
	g.plans.retain = append(g.plans.retain, g.party.Retain, func([]model.IdentityProvider) { g.sessions.Retune() })
	return map[model.ProviderType]flow.Protocol{model.ProviderOIDC: g.party}, nil
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
