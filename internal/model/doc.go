// Package model holds the nouns of Sallyport: users, credentials, roles, routes,
// services, identity providers, settings, decisions, audit events and the closed
// set of error codes, with their validation and defaults.
//
// It owns no I/O, no storage, no wire format beyond its JSON tags, and imports
// the standard library alone. Every other package may import it; it imports none.
package model
