package h1

import "syscall"

type state int

const (
	stateOpen state = iota
	stateHalf       // the other side has ended what it sends
	stateGone       // reset
)

// stateOf asks the kernel what became of the other side. It takes nothing out of
// the connection: what is unread there may be the next request.
func stateOf(raw syscall.RawConn) (s state) {
	_ = raw.Control(func(fd uintptr) {
		// It has the width that is asked for: the first bytes of struct tcp_info,
		// and tcpi_state is the very first.
		info, err := syscall.GetsockoptInet4Addr(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
		if err != nil {
			return
		}
		switch info[0] { // enum tcp_state
		case 7: // TCP_CLOSE
			s = stateGone
		case 8: // TCP_CLOSE_WAIT
			s = stateHalf
		}
	})
	return s
}
