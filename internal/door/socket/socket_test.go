package socket

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestCallsTellWhatTheKernelSaid(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := near.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	with := func(call func(fd uintptr) (int, error)) (n int, err error) {
		_ = raw.Control(func(fd uintptr) { n, err = call(fd) })
		return n, err
	}
	b := make([]byte, 8)
	read := func(fd uintptr) (int, error) { return Read(fd, b) }
	peek := func(fd uintptr) (int, error) { return Peek(fd, b) }
	expect := func(what string, n int, err error, wantN int, want error) {
		t.Helper()
		if n != wantN || !errors.Is(err, want) && err != want {
			t.Errorf("%s: %d %v, want %d %v", what, n, err, wantN, want)
		}
	}
	n, err := with(read)
	expect("nothing there", n, err, 0, syscall.EAGAIN)
	n, err = with(peek)
	expect("nothing to see", n, err, 0, syscall.EAGAIN)
	_, _ = far.Write([]byte("four"))
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if n, err = with(peek); n > 0 {
			break
		}
	}
	expect("a look", n, err, 4, nil)
	n, err = with(read)
	expect("a read", n, err, 4, nil)
	if string(b[:4]) != "four" {
		t.Errorf("%q", b)
	}
	n, err = with(func(fd uintptr) (int, error) { return Write(fd, []byte("back")) })
	expect("a write", n, err, 4, nil)
	big := make([]byte, 64<<20)
	n, err = with(func(fd uintptr) (int, error) { return Write(fd, big) })
	if n <= 0 || n == len(big) || err != nil {
		t.Errorf("more than the kernel takes: %d %v", n, err)
	}
	for end := time.Now().Add(2 * time.Second); err == nil && time.Now().Before(end); {
		n, err = with(func(fd uintptr) (int, error) { return Write(fd, big) })
	}
	expect("no room", n, err, 0, syscall.EAGAIN)
	_ = far.(*net.TCPConn).SetLinger(0)
	_ = far.Close()
	for end := time.Now().Add(time.Second); err == syscall.EAGAIN && time.Now().Before(end); {
		n, err = with(read)
	}
	expect("reset", n, err, 0, syscall.ECONNRESET)
	n, err = with(func(fd uintptr) (int, error) { return Write(fd, []byte("x")) })
	expect("gone", n, err, 0, syscall.EPIPE)
	n, err = with(read)
	expect("the end", n, err, 0, nil)
}
