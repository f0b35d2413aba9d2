//go:build !linux

package h1

import "syscall"

type state int

const (
	stateOpen state = iota
	stateHalf       // the other side has ended what it sends
	stateGone       // reset
)

// stateOf looks at the next byte without taking it: behind bytes that are unread,
// an end is not seen.
func stateOf(raw syscall.RawConn) (s state) {
	_ = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.ECONNRESET:
			s = stateGone
		case err == nil && n == 0:
			s = stateHalf
		}
	})
	return s
}
