// Package frame knows the frames of HTTP/2 (RFC 9113, 4 and 6): their types, flags
// and error codes, and how each is written. It reads nothing but a frame's header;
// what a payload means is its reader's affair, and so is what may follow what.
package frame
