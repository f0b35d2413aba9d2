// Package compress writes header blocks (RFC 7541) for one direction of one
// connection. It holds the dynamic table as the peer sees it, and puts into it only
// what it has seen before: ids, dates and lengths that never come again would push
// out what does.
//
// Reading header blocks is the library's (golang.org/x/net/http2/hpack).
package compress
