// Package apikey authenticates by an API key, in X-API-Key or in Authorization:
// ApiKey.
//
// The form of keys is internal/secret's. Scopes go with the proof, and the
// addresses that a key is limited to are the gate's to compare. authn/all puts it
// in the table.
package apikey
