// Package match turns a request target into its one path and finds the route for
// host, path, method and headers.
//
// It knows nothing of who is calling. The gate's match step and permission paths
// (authz) use it; plans are compiled through it.
package match
