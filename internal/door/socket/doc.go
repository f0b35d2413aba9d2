// Package socket reads from and writes to connections that never block, with the
// shortest calls there are: the two that move a request in and its answer out are
// most of what forwarding costs.
//
// It knows neither HTTP nor pools, waits for nothing and keeps nothing. The doors and
// upstream/lane call it from within syscall.RawConn.
package socket
