package listen

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostUnsent is how much the kernel keeps of an answer that it cannot send yet. It
// would keep megabytes for a client that does not read, out of what all TCP connections
// of the machine share (tcp_mem): a thousand such clients would slow down everybody.
// What is on its way to a client is not counted, so that far ones are as fast as before.
const mostUnsent = 512 << 10

func boundUnsent(nc net.Conn) {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	// A kernel that does not know it goes on as before.
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, mostUnsent)
	})
}
