package standard

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/model"
)

// halfOpen is how long a tunnel may stay open to one side once the other has
// ended; each side needs a moment to say its last.
const halfOpen = 10 * time.Second

// tunnel joins the two connections of a switched protocol until either ends, or
// the user behind it does.
func (x *exchange) tunnel(ctx context.Context, res *upstream.Response) (*model.Error, string) {
	h := http.Header{}
	x.copyFields(h, res.Header)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", x.ex.Upgrade)
	h.Del("Content-Length")
	client, buffered, err := x.rc.Hijack()
	if err != nil {
		e := model.NewError(model.Internal, "The gateway met an unexpected fault.").WithCause(err)
		x.refuse(e)
		return e, "hijack"
	}
	x.status, x.started = http.StatusSwitchingProtocols, true
	defer func() { _ = client.Close() }()
	// Nobody on a public route has a name; the end of a drain must still find it.
	var unnamed door.Stream
	if !x.enlisted() {
		unnamed = door.Stream{Since: x.began, Cut: func() { _ = client.Close() }}
		x.door.deps.Streams.Add(&unnamed)
		defer x.door.deps.Streams.Remove(&unnamed)
	}
	defer context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = res.Tunnel.Close()
	})()
	_ = client.SetDeadline(time.Time{})
	if err := writeSwitch(client, h); err != nil {
		return nil, "the client went away"
	}
	x.splice(client, buffered, res.Tunnel)
	if cause := context.Cause(ctx); errors.Is(cause, errCut) || errors.Is(cause, errExpired) {
		return nil, cause.Error()
	}
	return nil, ""
}

func (x *exchange) enlisted() bool { return x.streams[0].User != "" || x.streams[1].User != "" }

func writeSwitch(w io.Writer, h http.Header) error {
	b := bufio.NewWriter(w)
	_, _ = b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(b)
	_, _ = b.WriteString("\r\n")
	return b.Flush()
}

// splice copies both ways. What the client sent behind its handshake is already
// in the server's buffer and goes first.
func (x *exchange) splice(client net.Conn, buffered *bufio.ReadWriter, target upstream.Tunnel) {
	x.body = &body{}
	x.body.over.Store(true)
	up, down := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(up)
		var from io.Reader = client
		if n := buffered.Reader.Buffered(); n > 0 {
			from = io.MultiReader(io.LimitReader(buffered.Reader, int64(n)), client)
		}
		n, err := io.Copy(target, from)
		x.body.count.Store(n)
		if err == nil {
			err = target.CloseWrite()
		}
		if err != nil {
			_ = client.Close()
			_ = target.Close()
		}
	}()
	go func() {
		defer close(down)
		n, err := io.Copy(client, target)
		x.sent = n
		if cw, ok := client.(interface{ CloseWrite() error }); ok && err == nil {
			err = cw.CloseWrite()
		} else if err == nil {
			err = io.ErrClosedPipe
		}
		if err != nil {
			_ = client.Close()
			_ = target.Close()
		}
	}()
	first, second := up, down
	select {
	case <-up:
	case <-down:
		first, second = down, up
	}
	<-first
	timer := time.NewTimer(halfOpen)
	defer timer.Stop()
	select {
	case <-second:
	case <-timer.C:
		_ = client.Close()
		_ = target.Close()
		<-second
	}
}
