// Package login finds out which administrator sends a request: by password,
// token or client certificate. It slows down guessing, makes unknown names cost
// what known ones do, and leaves an event of every refusal.
//
// It looks administrators up anew for each request and remembers only that a
// password matched a hash, so that a change takes effect at once. It knows
// nothing of paths and of what an administrator may do. The admin API calls it.
package login
