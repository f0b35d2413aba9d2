// Package rest is the admin REST API: HTTP and JSON over provision.API, with the
// login of administrators, the defence against browsers of other origins, and
// the OpenAPI document that describes it.
//
// operations.go is the mount table: what is not in it is not served, and all of
// it but /healthz and /readyz lies behind the login. The package holds no rules
// about resources: what may be written, and by which role, provision decides.
// The composition root builds it and serves it on admin listeners.
package rest
