// Package basic authenticates by username and password: Basic of RFC 7617.
//
// It owns the reading of the header and the one comparison; hashing is
// internal/secret's, and users are found through the directory. Whether a user may
// act at all (active, not expired) is the gate's to ask. authn/all puts it in the
// table.
package basic
