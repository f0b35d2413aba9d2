// Package mtls authenticates by the client certificate of the connection, or by
// one that a proven front end sends on in Client-Cert (RFC 9440).
//
// It maps a certificate that is verified already to a user: the listener has
// checked chain, time, usage and revocation in the handshake, and a function of
// the listener's does so for forwarded ones. A certificate that is nobody's counts
// as absent. authn/all puts it in the table.
package mtls
