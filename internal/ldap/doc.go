// Package ldap asks directories whether a name and a password are somebody's, and
// what they know of that user.
//
// It owns the connections (few, bounded in number and time, always TLS but on
// loopback), the search for the user, the bind that proves the password, the
// groups, and what becomes of them as claims. It decides nothing about users here:
// the method basic asks it, through the app, and the gate does the rest. It trusts
// a directory with what it says, not with memory or time.
package ldap
