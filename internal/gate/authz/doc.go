// Package authz says who may do what: roles and their permissions compiled per
// route, CEL conditions and rules, and scopes that narrow.
//
// Denial is the default and an evaluation error never allows. It does not know
// how the caller was authenticated. The gate's authorise step calls it.
package authz
