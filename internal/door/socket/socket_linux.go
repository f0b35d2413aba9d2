//go:build linux && (amd64 || arm64) && !race

package socket

import (
	"syscall"
	"unsafe"
)

// The calls below do not tell the scheduler: they never wait, so there is no time
// in which another goroutine could have the processor. recvfrom and sendto do less
// than read and write, which know files of all kinds.

// Read reads what is there; syscall.EAGAIN says that there is nothing yet. Zero bytes
// and no error are the end.
func Read(fd uintptr, b []byte) (int, error) { return receive(fd, b, syscall.MSG_DONTWAIT) }

// Peek is Read that leaves the bytes where they are.
func Peek(fd uintptr, b []byte) (int, error) {
	return receive(fd, b, syscall.MSG_DONTWAIT|syscall.MSG_PEEK)
}

func receive(fd uintptr, b []byte, flags uintptr) (int, error) {
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, syscall.EAGAIN // the constant: an Errno in an interface is allocated
		default:
			return 0, err
		}
	}
}

// Write writes what there is room for; syscall.EAGAIN says that there is none.
func Write(fd uintptr, b []byte) (int, error) {
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, syscall.EAGAIN
		default:
			return 0, err
		}
	}
}
