package lane

import (
	"encoding/binary"
	"syscall"
	"unsafe"
)

const (
	tcpClose   = 7   // TCP_CLOSE of enum tcp_state: reset, in our case
	bytesAcked = 120 // where tcpi_bytes_acked lies in struct tcp_info, which only ever grows at its end
)

// fate is whether the connection was reset, and how many bytes the other side's
// kernel has acknowledged, ever.
func fate(fd uintptr) (reset bool, acked uint64, ok bool) {
	var info [bytesAcked + 8]byte
	size := uint32(len(info))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || int(size) < len(info) {
		return false, 0, false
	}
	return info[0] == tcpClose, binary.NativeEndian.Uint64(info[bytesAcked:]), true
}
