package targettest

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
)

// Listen starts a target whose connections are served by serve, and answers its
// host and port. A connection is closed when serve returns, and all of them at the
// test's end, which waits for serve.
func Listen(t testing.TB, serve func(c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				defer func() {
					_ = c.Close()
					mu.Lock()
					delete(open, c)
					mu.Unlock()
				}()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return ln.Addr().String()
}

// Raw starts a target that hands each request's head to serve, which says whatever
// it likes on the connection, and answers the target's URL.
func Raw(t testing.TB, serve func(c net.Conn, r *bufio.Reader, head string)) string {
	t.Helper()
	return "http://" + Listen(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			head := ""
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
			serve(c, r, head)
		}
	})
}

// Nobody is the URL of a target that refuses connections.
func Nobody(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return "http://" + ln.Addr().String()
}
