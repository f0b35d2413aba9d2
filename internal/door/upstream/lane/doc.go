// Package lane keeps the HTTP/1.1 connections to one address of a target: bounded,
// last used first, and looked at before they are trusted with a request.
//
// It speaks no HTTP: the HTTP/1.1 door writes heads and reads answers over its
// connections. Which address is chosen, and whether it is healthy, is upstream's.
package lane
