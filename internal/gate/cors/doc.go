// Package cors answers preflights and dresses cross-origin answers from a route's
// cors setting (Fetch standard, "CORS protocol").
//
// It grants browsers a reading right and decides nothing about the request
// itself. The gate's match and preflight steps call it.
package cors
