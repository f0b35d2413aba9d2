// Package bearer authenticates by a token in Authorization: Bearer (RFC 6750): a
// JWT (RFC 7519, with the care of RFC 8725), or an opaque token that a provider is
// asked about (RFC 7662).
//
// It owns the reading of tokens, the choice of the provider that vouches, and the
// checks of claims. Keys come from authn/keys, answers
// about opaque tokens by authn/introspection; what the claims make of a user is
// authn's mapping, and whether there is such a user the gate's to resolve. A token
// in the query or in a body is never read. authn/all puts it in the table.
package bearer
