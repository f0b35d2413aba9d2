//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// inCrowd tells the test's own program to be a crowd of slow clients: thousands of
// them in the program that measures would be what it measures.
const inCrowd = "SALLYPORT_E2E_CROWD"

// report is what became of a crowd: how many clients of each kind there were, and how
// long those were there whom the gateway has ended.
type report struct {
	Opened map[string]int
	Ended  map[string][]time.Duration
	Faults []string
}

// crowd is the program of the slow clients. It ends with them, or with its input.
func crowd(order string) error {
	var address string
	var many int
	var times time.Duration
	if _, err := fmt.Sscan(order, &address, &many, &times); err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(stop) }()
	r := report{Opened: map[string]int{}, Ended: map[string][]time.Duration{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	kinds := slowClients(times)
	for i := range many {
		k := kinds[i%len(kinds)]
		r.Opened[k.name]++
		wg.Go(func() {
			took, ended, err := k.stay(address, stop)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.Faults = append(r.Faults, k.name+": "+err.Error())
			} else if ended {
				r.Ended[k.name] = append(r.Ended[k.name], took)
			}
		})
		if i%10 == 9 {
			time.Sleep(pause(times))
		}
	}
	wg.Wait()
	return json.NewEncoder(os.Stdout).Encode(&r)
}

// pause is how long a crowd waits behind each ten that it sends.
func pause(times time.Duration) time.Duration { return times * 4 / 3 * time.Millisecond }

func (s *slowClient) stay(address string, stop <-chan struct{}) (took time.Duration, ended bool, err error) {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = c.Close() }()
	begin := time.Now()
	ended = s.run(c, stop) != nil
	return time.Since(begin), ended, nil
}

// gather begins a crowd. It yields to all other programs: its clients are elsewhere, and
// take no processor from the gateway and who is measured.
func gather(t testing.TB, address string, many int, times time.Duration) (ended func(limit time.Duration) report) {
	t.Helper()
	cmd, in := itself(t, fmt.Sprintf("%s=%s %d %d", inCrowd, address, many, int(times)))
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 19)
	return func(limit time.Duration) (r report) {
		late := time.AfterFunc(limit, func() { _ = in.Close() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("the slow clients: %v", err)
		}
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
			t.Fatalf("the slow clients: %v: %q", err, out.String())
		}
		return r
	}
}

// slowClient is a way to take a long time; it returns when the gateway ends it, or
// when it is told to stop.
type slowClient struct {
	name  string
	after time.Duration // when the gateway should have ended it, from when it stops to make progress
	run   func(c net.Conn, stop <-chan struct{}) error
}

// dripping writes a text a byte at a time.
func dripping(c net.Conn, text string, pause time.Duration, stop <-chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		case <-time.After(pause):
		}
		if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
			return err
		}
	}
}

// silent waits for the gateway to say that it has had enough.
func silent(c net.Conn, stop <-chan struct{}) error {
	done := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, c); done <- err }()
	select {
	case err := <-done:
		return errors.Join(io.EOF, err)
	case <-stop:
		return nil
	}
}

func secured(c net.Conn) (net.Conn, error) {
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	return t, t.Handshake()
}

// slowClients are measured by the limits of short, so many times longer: thousands
// that hurried would keep the machine busy with their handshakes alone.
func slowClients(times time.Duration) []slowClient {
	return []slowClient{
		{"says nothing at all", 2 * times * time.Second, func(c net.Conn, stop <-chan struct{}) error { return silent(c, stop) }},
		{"drips a handshake", 2 * times * time.Second, func(c net.Conn, stop <-chan struct{}) error {
			return dripping(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+strings.Repeat("\x00", 500), times*50*time.Millisecond, stop)
		}},
		{"says nothing after its handshake", 3 * times * time.Second, func(c net.Conn, stop <-chan struct{}) error {
			t, err := secured(c)
			if err != nil {
				return fmt.Errorf("handshake: %w", err)
			}
			return silent(t, stop)
		}},
		{"drips a head", 2 * times * time.Second, func(c net.Conn, stop <-chan struct{}) error {
			t, err := secured(c)
			if err != nil {
				return fmt.Errorf("handshake: %w", err)
			}
			return dripping(t, "GET /open HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-A: b\r\n", 100), times*50*time.Millisecond, stop)
		}},
		{"stalls in a body", 3 * times * time.Second, func(c net.Conn, stop <-chan struct{}) error {
			t, err := secured(c)
			if err != nil {
				return fmt.Errorf("handshake: %w", err)
			}
			_, _ = io.WriteString(t, "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhello")
			return silent(t, stop)
		}},
		{"does not read its answer", 3 * times * time.Second, func(c net.Conn, stop <-chan struct{}) error {
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			t, err := secured(c)
			if err != nil {
				return fmt.Errorf("handshake: %w", err)
			}
			_, _ = io.WriteString(t, "GET /open/large HTTP/1.1\r\nHost: x\r\n\r\n")
			for { // whether the other side is still there shows only when we write
				select {
				case <-stop:
					return nil
				case <-time.After(200 * time.Millisecond):
				}
				if _, err := c.Write(nil); err != nil || departed(c) {
					return io.EOF
				}
			}
		}},
	}
}

// departed says whether the peer has reset or closed the connection.
func departed(c net.Conn) bool {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	_ = raw.Control(func(fd uintptr) {
		e, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		gone = err != nil || e != 0
		if !gone { // TCP_INFO's first byte is the state; 1 = established
			var info [1]byte
			gone = tcpState(fd, &info) && info[0] != 1
		}
	})
	return gone
}
