// Package client speaks the admin REST API for the command line: it logs in,
// sends JSON, and turns whatever comes back, problem documents and broken
// connections alike, into errors that a person can act on.
//
// It knows no resources. The commands of package cli call it.
package client
