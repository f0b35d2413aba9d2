// Package fetch gets small documents of other parties over https, such as key sets
// and discovery documents, and asks their endpoints.
//
// It trusts nothing that comes back: sizes, times and redirects are bounded, and
// nothing of a caller's is sent along but what Send is given. What a document means
// is its caller's business. The app gives it to gate/authn/keys, which speaks no
// HTTP itself; the logins use it directly.
package fetch
