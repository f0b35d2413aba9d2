// Package identity makes what the backend is told of the caller: header values in
// one encoding, and the signed assertion with its rotating keys.
//
// It decides nothing, and strips nothing: by the time its fields are appended,
// the names are the gateway's alone. The gate's identify step calls it; the key
// set that verifies its assertions is served by the doors.
package identity
