// Package trustedheader authenticates by the username that a front end puts into a
// header, once the front end has proved itself.
//
// How it proves itself is authn's Sender. What anybody else put into the header
// was set aside by strip, and is no credential: neither good nor bad. authn/all
// puts it in the table.
package trustedheader
