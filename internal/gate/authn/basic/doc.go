// Package basic authenticates by username and password: Basic of RFC 7617.
//
// It owns the reading of the header, the one comparison, and the order of those who
// judge: the password that is kept here, and for a name that has none the
// directories. Hashing is internal/secret's, users are found through the directory
// package, and LDAP is spoken by internal/ldap, which it knows as authn.Passwords.
// Whether a user may act at all (active, not expired) is the gate's to ask.
// authn/all puts it in the table.
package basic
