// Package session is the method session: the cookie of a browser that has signed
// in. It finds the login that the cookie stands for and asks whether it, its user
// and its provider still stand. How sessions begin and end is not its business:
// login begins them, internal/session keeps them. A stale cookie counts as none
// (SPEC 9), so that its browser is asked to sign in again.
package session
