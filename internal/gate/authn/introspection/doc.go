// Package introspection asks identity providers about opaque tokens (RFC 7662).
//
// It owns what protects both sides of that question: as whom the gateway asks, how
// long it waits, how many questions are under way, when a provider that fails is
// left alone for a while, and for how long a no is remembered. What an answer
// means is authn/bearer's to judge. It opens no sockets: the app gives it a
// function that posts. It lives as long as the process, so that a new
// configuration does not forget that a provider is down.
package introspection
