// Package session keeps the logins of browsers: it begins, finds, refreshes, lists
// and ends them. They live in the store, so that they survive a restart, and in
// memory, so that a request finds its own at the cost of a look-up; the cookie is
// kept as a hash alone.
//
// It knows nothing of HTTP and asks nobody who a person is: login begins and ends
// sessions, the method session finds them, the faces list them.
package session
