// Package strict reads YAML and JSON into the model's structs so that nothing is
// guessed: unknown and repeated fields, wrong types, YAML aliases and trailing
// bytes are faults, all of them reported at once with path and line. Left-out
// fields get what the struct's Defaults method says.
//
// Both formats become one tree of Nodes first, so that files and the REST API
// accept the same things by the same rules. It knows nothing of what a field
// means; validation is the model's. The boot file, the declarative files, apply
// and the admin API call it.
//
// Object, Base64URL, Text and Name read what issuers say as strictly, for bearer tokens
// and sign-in at OpenID providers: there a fault is a refusal, and needs no line.
// Instead names what came in place of JSON.
package strict
