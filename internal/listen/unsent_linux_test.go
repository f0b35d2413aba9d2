package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// A client that does not read must not fill the memory that all connections share.
func TestLittleIsKeptForAClientThatDoesNotRead(t *testing.T) {
	l, err := Open(Config{Address: "127.0.0.1:0"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan int64)
	serve(t, l, Handlers{Conn: func(nc net.Conn, ended func()) {
		defer ended()
		_ = nc.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := io.Copy(nc, strings.NewReader(strings.Repeat("x", 32<<20)))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		taken <- n
		_ = nc.Close()
	}})
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.(*net.TCPConn).SetReadBuffer(4 << 10)
	if n := <-taken; n > 1<<20 {
		t.Errorf("%d KiB are kept", n>>10)
	}
}
