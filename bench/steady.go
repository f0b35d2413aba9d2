package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// steady asks at a fixed rate, whatever the answers take: each request has a moment
// at which it is due, and its latency counts from then, also where it had to wait
// for a connection to come free. A generator that waits for answers before it asks
// again would leave out what a slow proxy keeps waiting.
//
// Beside it there may be busy callers, who ask again as soon as they are answered.
// All of it is one loop on one thread: timers of goroutines are too coarse.
type steady struct {
	address string
	request string
	rate    float64 // requests per second
	conns   int

	busyAt   string
	busyNext func() string // the next request of a busy caller
	busy     int           // callers

	poll      int
	all       map[int32]*caller
	free      []*caller
	waiting   []time.Time // due, and no connection was free
	latency   []time.Duration
	statuses  map[int]int // of busy callers' answers
	underWay  int
	failure   error
	busyEnded bool
}

// caller is one connection.
type caller struct {
	fd   int
	busy bool
	due  time.Time
	in   []byte
	n    int
}

// percentiles of what was measured.
func (s *steady) percentile(p float64) time.Duration {
	if len(s.latency) == 0 {
		return 0
	}
	slices.Sort(s.latency)
	return s.latency[min(len(s.latency)-1, int(p*float64(len(s.latency))))]
}

const (
	sysEpollPwait2   = 441 // the same on every architecture; Linux 5.11
	prSetTimerSlack  = 29
	longestStraggler = 20 * time.Second
)

// run asks for a while and waits for the last answers.
func (s *steady) run(ctx context.Context, span time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	// The kernel may wake a thread late by its slack, 50 µs unless it says otherwise.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0)
	if err := s.open(); err != nil {
		return err
	}
	defer s.closeAll()
	interval := time.Duration(float64(time.Second) / s.rate)
	total := int(span.Seconds() * s.rate)
	s.latency = make([]time.Duration, 0, total)
	start := time.Now()
	events := make([]syscall.EpollEvent, 256)
	for sent := 0; s.failure == nil && ctx.Err() == nil; {
		now := time.Now()
		for ; sent < total; sent++ {
			due := start.Add(time.Duration(sent) * interval)
			if due.After(now) {
				break
			}
			s.issue(due)
		}
		wait := 50 * time.Millisecond
		if sent < total {
			wait = max(0, time.Until(start.Add(time.Duration(sent)*interval)))
		} else {
			s.busyEnded = true
			if s.underWay == 0 && len(s.waiting) == 0 {
				break
			}
			if now.Sub(start) > span+longestStraggler {
				return fmt.Errorf("%d requests were not answered", s.underWay+len(s.waiting))
			}
		}
		n, err := epollWait(s.poll, events, wait)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			s.ready(s.all[e.Fd])
		}
	}
	return errors.Join(s.failure, ctx.Err())
}

func epollWait(poll int, events []syscall.EpollEvent, wait time.Duration) (int, error) {
	ts := syscall.NsecToTimespec(int64(wait))
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(poll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	if errno == syscall.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, fmt.Errorf("epoll_pwait2: %w", errno)
	}
	return int(n), nil
}

func (s *steady) open() (err error) {
	s.all, s.statuses = map[int32]*caller{}, map[int]int{}
	if s.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for range s.conns {
		c, err := s.dial(s.address, false)
		if err != nil {
			return err
		}
		s.free = append(s.free, c)
	}
	for range s.busy {
		c, err := s.dial(s.busyAt, true)
		if err != nil {
			return err
		}
		s.again(c)
	}
	return nil
}

func (s *steady) dial(address string, busy bool) (*caller, error) {
	a, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &caller{fd: fd, busy: busy, in: make([]byte, 16<<10)}
	to := &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}
	err = errors.Join(syscall.Connect(fd, to), syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1), syscall.SetNonblock(fd, true),
		syscall.EpollCtl(s.poll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}))
	s.all[int32(fd)] = c
	return c, err
}

func (s *steady) closeAll() {
	for _, c := range s.all {
		_ = syscall.Close(c.fd)
	}
	_ = syscall.Close(s.poll)
	s.free, s.waiting, s.underWay, s.busyEnded = nil, nil, 0, false
}

// issue sends the request that was due, or lets it wait for a connection.
func (s *steady) issue(due time.Time) {
	if len(s.free) == 0 {
		s.waiting = append(s.waiting, due)
		return
	}
	c := s.free[0]
	s.free = s.free[1:]
	c.due = due
	s.underWay++
	s.send(c, s.request)
}

func (s *steady) again(c *caller) {
	if s.busyEnded {
		return
	}
	s.send(c, s.busyNext())
}

func (s *steady) send(c *caller, request string) {
	c.n = 0
	n, err := syscall.Write(c.fd, unsafe.Slice(unsafe.StringData(request), len(request)))
	if err != nil || n != len(request) { // a request fits into any socket's buffer
		s.broken(c, errors.Join(err, errors.New("a request could not be sent")))
	}
}

func (s *steady) broken(c *caller, err error) {
	if !c.busy {
		s.failure = errors.Join(s.failure, err)
		return
	}
	delete(s.all, int32(c.fd))
	_ = syscall.Close(c.fd)
	if s.busyEnded {
		return
	}
	c, err = s.dial(s.busyAt, true)
	if err != nil {
		s.failure = errors.Join(s.failure, err)
		return
	}
	s.again(c)
}

// ready reads what has come on a connection.
func (s *steady) ready(c *caller) {
	if c == nil {
		return
	}
	n, err := syscall.Read(c.fd, c.in[c.n:])
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return
	case err != nil || n == 0:
		s.broken(c, errors.Join(err, errors.New("the proxy closed a connection")))
		return
	}
	c.n += n
	status, whole, err := answered(c.in[:c.n])
	switch {
	case err != nil:
		s.failure = err
	case !whole:
	case c.busy:
		s.statuses[status]++
		s.again(c)
	case status != 200:
		s.failure = fmt.Errorf("answered %d", status)
	default:
		s.latency = append(s.latency, time.Since(c.due))
		s.underWay--
		s.free = append(s.free, c)
		if len(s.waiting) > 0 {
			due := s.waiting[0]
			s.waiting = s.waiting[1:]
			s.issue(due)
		}
	}
}

// answered says whether b is a whole answer, by its Content-Length.
func answered(b []byte) (status int, whole bool, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, false, nil
	}
	if status, err = strconv.Atoi(string(b[9:12])); err != nil {
		return 0, false, err
	}
	for line := range bytes.SplitSeq(b[:end], []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && len(name) == len("content-length") && bytes.EqualFold(name, []byte("content-length")) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			return status, len(b) >= end+4+n, err
		}
	}
	return 0, false, fmt.Errorf("an answer without Content-Length: %.200q", b)
}
