// Package provision is the write side: the only code that changes users, roles,
// routes, services, providers, settings and administrators. Each change is
// validated as a whole, stored in one transaction, numbered as one revision,
// recorded as one audit event, and effective everywhere before it is acknowledged.
//
// It speaks no wire protocol: REST, SCIM, the command line and identity
// providers (just in time) are faces over it.
package provision
