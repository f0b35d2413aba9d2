// Package oidc is the protocol half of an OpenID Connect relying party: it sends
// browsers to providers, proves what they bring back, asks providers again, and
// understands that a provider has ended a session.
//
// It owns messages and their proof: discovery, the authorization code flow with
// PKCE, tokens, UserInfo, RP-initiated and back-channel logout. It owns no pages,
// cookies, attempts or sessions (login does), and decides nothing about users. Of
// what it must remember of an attempt, everything is derived from the attempt;
// what it must remember of a session is sealed in Identity.Keep. Keys of providers
// are given to it (Keys); it holds their discovery documents alone.
package oidc
