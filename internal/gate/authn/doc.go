// Package authn holds what all methods of authentication share: the Method
// interface with its three outcomes, the Proof, the cache of verified
// credentials, and the evaluation of a route's requirement.
//
// Concrete methods live in its folders, one each; authn/all is their table. It
// decides who is calling, never what they may do, and never writes an answer.
package authn
