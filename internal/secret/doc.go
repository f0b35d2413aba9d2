// Package secret makes and checks the secrets that are kept here: password hashes,
// API keys and administrators' tokens.
//
// It bounds how much of the machine password hashing may take, and makes a
// refusal cost the same whoever was asked for. It knows no users and no requests,
// and never writes a secret anywhere: gate/authn asks it on the request path,
// provision when credentials are made, and the command line for hash-password.
package secret
