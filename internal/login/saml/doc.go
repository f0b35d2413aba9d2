// Package saml is the protocol half of a SAML 2.0 service provider (Web Browser
// SSO and Single Logout profiles): the gateway's own keys and metadata, the
// metadata of identity providers, requests, and the proof of what comes back.
//
// Every message that is believed passes the same gates in the same order: size,
// strict XML (no declarations, comments or instructions, so that no two readers
// can differ about it), the shape that the profile allows, the signature by a key
// of the provider's metadata, and only then its fields, read from the bytes that
// were verified and from no others.
//
// It keeps no attempts, sessions or replay memory, serves no HTTP and knows no
// users: login does, and calls it through flow.
package saml
