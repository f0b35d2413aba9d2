// Package flow is what a browser login at a provider consists of: the attempt that
// leaves for the provider, what comes back, and the identity that it proves. It
// holds the types by which login, which owns pages, states and sessions, speaks to
// the protocols (oidc, saml), which own messages and their proof; these are
// strangers to one another and to login.
package flow
