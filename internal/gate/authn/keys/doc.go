// Package keys holds the public keys of token issuers: from a file, a JWKS URL, or
// the issuer's discovery document.
//
// A set is refreshed in the background, goes on serving while its source is down
// or sends rubbish, and never asks its source more than once in ten seconds,
// however many tokens name keys that nobody knows. It verifies no token
// (authn/bearer does) and speaks no HTTP itself: its Fetch is given. The app holds
// one Registry for the life of the process, so that sets outlive plans.
package keys
