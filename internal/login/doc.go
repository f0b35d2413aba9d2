// Package login is what browsers meet at the gateway itself: the pages on which
// people sign in and out and see their sessions, and the way to a provider and
// back. It owns the state of a login under way and the cookies.
//
// How a provider proves somebody is the business of its protocol (oidc, saml),
// which it knows by package flow alone; who that is here is the gate's; sessions
// are kept by package session. Its handlers are called by the doors through app,
// for the gateway's own paths.
package login
