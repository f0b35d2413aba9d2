// Package fetch gets small documents of other parties over https: key sets and
// discovery documents.
//
// It trusts nothing that comes back: sizes, times and redirects are bounded, and
// nothing of a caller's is sent along. What a document means is its caller's
// business. The app gives it to gate/authn/keys, which speaks no HTTP itself.
package fetch
