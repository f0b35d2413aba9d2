// Package secret makes and checks the secrets that are kept here: password hashes,
// API keys and administrators' tokens. It derives keys for one purpose each, and
// seals with them what only the gateway is to read.
//
// It bounds how much of the machine password hashing may take, and makes a
// refusal cost the same whoever was asked for. It knows no users and no requests,
// and never writes a secret anywhere: gate/authn asks it on the request path,
// provision when credentials are made, session and login for what they seal, and the
// command line for hash-password.
package secret
