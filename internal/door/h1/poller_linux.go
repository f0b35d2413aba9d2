package h1

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// poller tells which of many sockets has something to be read. It is one epoll
// instance beside the runtime's, for sockets that no goroutine waits for; the runtime's
// tells when this one has something to tell.
type poller struct {
	file *os.File
	raw  syscall.RawConn
}

// newPoller makes a poller, or none where that cannot be.
func newPoller() *poller {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err = errors.Join(err, file.SetReadDeadline(time.Time{})); err != nil { // the runtime does not take it
		_ = file.Close()
		return nil
	}
	return &poller{file, raw}
}

// add asks to be told once when something comes on sock, or is there already. A socket
// that is closed is asked for no more.
func (p *poller) add(sock syscall.RawConn, ticket uint64) error {
	// The kernel hands the eight bytes behind the events back as they are.
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLONESHOT, Fd: int32(ticket), Pad: int32(ticket >> 32)}
	return p.control(sock, syscall.EPOLL_CTL_ADD, &e)
}

// remove takes sock back, so that what comes on it is nothing to the poller.
func (p *poller) remove(sock syscall.RawConn) {
	_ = p.control(sock, syscall.EPOLL_CTL_DEL, &syscall.EpollEvent{})
}

// control holds both descriptors, so that neither is another file's by now.
func (p *poller) control(sock syscall.RawConn, op int, e *syscall.EpollEvent) error {
	var inner, err error
	outer := p.raw.Control(func(poll uintptr) {
		inner = sock.Control(func(fd uintptr) { err = syscall.EpollCtl(int(poll), op, int(fd), e) })
	})
	return errors.Join(outer, inner, err)
}

// run tells ready of each socket, until close.
func (p *poller) run(ready func(ticket uint64)) {
	var events [64]syscall.EpollEvent
	for {
		n := 0
		err := p.raw.Read(func(fd uintptr) bool {
			for {
				var err error
				if n, err = syscall.EpollWait(int(fd), events[:], 0); err != syscall.EINTR {
					return n != 0
				}
			}
		})
		if err != nil || n <= 0 {
			return
		}
		for i := range events[:n] {
			ready(uint64(uint32(events[i].Fd)) | uint64(uint32(events[i].Pad))<<32)
		}
	}
}

func (p *poller) close() { _ = p.file.Close() }
