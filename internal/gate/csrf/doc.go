// Package csrf refuses requests that another site made a browser send: Origin
// and Fetch Metadata first, then a token bound to the credential.
//
// It knows nothing of routes or users beyond what it is handed. The gate's csrf
// step calls it, and the doors for the cookie it asks to be set.
package csrf
