// Package match turns a request target into its one path and finds the route for
// host, path, method and headers.
//
// ParseTarget refuses what two readers could take for two paths, and gives the
// canonical form of the rest. Compile builds the table of a set of routes, or names
// every route that can never be chosen or that no rule tells from another; for
// expressions it asks their automata. Find looks a request up: by host, in a tree
// of path segments, by headers, by method. Pattern is the same syntax for
// permissions, RewritePath the way from the matched path to the forwarded one.
//
// It knows nothing of who is calling, and validates no field that it does not
// match by. The gate's match step and permission paths (authz) use it; plans are
// compiled through it.
package match
