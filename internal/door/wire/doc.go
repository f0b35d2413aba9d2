// Package wire reads HTTP/1.1 message heads and chunked bodies, strictly: RFC 9112
// without the leniency that request smuggling lives on.
//
// It works on byte slices, opens nothing, allocates nothing and decides nothing:
// what it accepts is unambiguous, everything else is refused. Strings that it
// hands out are views into the caller's buffer. The HTTP/1.1 door and the way out
// to the targets use it alike.
package wire
