//go:build !linux || !(amd64 || arm64) || race

package socket

import "syscall"

// The race detector learns from the standard library's calls what happens before
// what; elsewhere they are all that there is.

// Read reads what is there; syscall.EAGAIN says that there is nothing yet. Zero bytes
// and no error are the end.
func Read(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), b)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// Peek is Read that leaves the bytes where they are.
func Peek(fd uintptr, b []byte) (int, error) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// Write writes what there is room for; syscall.EAGAIN says that there is none.
func Write(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), b)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
