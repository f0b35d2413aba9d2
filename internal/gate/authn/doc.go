// Package authn holds what all methods of authentication share: the Method
// interface with its three outcomes, the Proof, the cache of verified
// credentials, the evaluation of a route's requirement, how a front end proves
// itself, and how a provider's claims become a user's fields.
//
// Concrete methods live in its folders, one each, and authn/keys holds the key
// sets of token issuers, authn/introspection asks about opaque tokens; authn/all is their table. It decides who is calling,
// never what they may do, and never writes an answer. The gate calls it.
package authn
