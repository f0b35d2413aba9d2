package h1

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/sallyport/sallyport/internal/door/socket"
	"github.com/sallyport/sallyport/internal/door/wire"
)

const bufferSize = 16 << 10

type block [bufferSize]byte

var blocks = sync.Pool{New: func() any { return new(block) }}

// input is the client's side of reading: one buffer that holds a head, and what
// came behind it, while an exchange is under way, and that is given back while
// the connection idles.
type input struct {
	nc      net.Conn
	sock    syscall.RawConn // of the TCP connection; nil = there is none
	raw     syscall.RawConn // the same where it can be read from, nil on TLS
	tryRead func(fd uintptr) bool
	out     []byte // what tryOut is to write
	tryOut  func(fd uintptr)
	small   []byte // TLS: what an idle connection waits with

	block *block
	buf   []byte // the block, or a larger one for a large head
	r, w  int    // unread bytes are buf[r:w]
	err   error
	werr  error
}

func (in *input) init(nc net.Conn) {
	in.nc = nc
	under := nc
	t, secure := nc.(*tls.Conn)
	if secure {
		under = t.NetConn()
	}
	if sc, ok := under.(syscall.Conn); ok {
		in.sock, _ = sc.SyscallConn()
	}
	if in.sock != nil && !secure {
		in.raw, in.tryRead, in.tryOut = in.sock, in.readOnce, in.writeOnce
		return
	}
	in.small = make([]byte, 512)
}

func (in *input) take() {
	in.block = blocks.Get().(*block)
	in.buf = in.block[:]
}

// release gives the buffer back when nothing unread is in it.
func (in *input) release() {
	if in.r != in.w {
		return
	}
	in.r, in.w = 0, 0
	if in.block != nil {
		blocks.Put(in.block)
	}
	in.block, in.buf = nil, nil
}

// readOnce tries one read into a borrowed block: where there is nothing yet, the
// block goes back before the wait, so that an idle connection holds none.
func (in *input) readOnce(fd uintptr) bool {
	if in.buf == nil {
		in.take()
	}
	n, err := socket.Read(fd, in.buf)
	switch {
	case err == syscall.EAGAIN:
		in.release()
		return false
	case err != nil:
		in.err = err
	case n == 0:
		in.err = io.EOF
	default:
		in.w = n
	}
	return true
}

// writeNow writes what the kernel takes at once, which is nearly always all, and
// answers what is left.
func (in *input) writeNow(b []byte) ([]byte, error) {
	if in.raw == nil {
		return b, nil
	}
	in.out, in.werr = b, nil
	err := in.raw.Control(in.tryOut)
	if err == nil {
		err = in.werr
	}
	b, in.out = in.out, nil
	return b, err
}

func (in *input) writeOnce(fd uintptr) {
	n, err := socket.Write(fd, in.out)
	in.out = in.out[n:]
	if err != syscall.EAGAIN {
		in.werr = err
	}
}

// await waits for the first bytes of a request, holding no buffer.
func (in *input) await() error {
	if in.r < in.w {
		return nil
	}
	if in.raw != nil {
		in.r, in.w, in.err = 0, 0, nil
		if err := in.raw.Read(in.tryRead); err != nil {
			return err
		}
		return in.err
	}
	in.release()
	n, err := in.nc.Read(in.small)
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return err
	}
	in.take()
	in.w = copy(in.buf, in.small[:n])
	return nil
}

// compact moves unread bytes to the start, where the next head begins. Only
// between exchanges: a head's strings are views into the buffer.
func (in *input) compact() {
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
}

// head reads until the buffer holds a whole head, and parses it. limit is the
// most that a head may take; began is called once a request has begun.
func (in *input) head(req *wire.Request, limit int, began func()) (int, error) {
	for {
		if err := in.await(); err != nil {
			return 0, err
		}
		in.compact()
		if in.w != 2 || in.buf[0] != '\r' || in.buf[1] != '\n' {
			break
		}
		in.r = 2 // an empty line behind the last request begins none
	}
	began()
	seen := 0
	for {
		if ready(in.buf[:in.w], seen) {
			n, err := wire.ParseRequest(in.buf[:in.w], req)
			if n > limit {
				return 0, wire.TooLarge
			}
			if err != nil || n > 0 {
				return n, err
			}
		}
		if in.w >= limit {
			return 0, wire.TooLarge
		}
		seen = in.w
		if in.w == len(in.buf) {
			in.grow(limit)
		}
		n, err := in.nc.Read(in.buf[in.w:])
		if n == 0 {
			return 0, unexpected(err)
		}
		in.w += n
	}
}

// ready says whether the bytes from seen on can end a head, or spoil it for good:
// a slow client must not make us parse the same head again for every byte.
func ready(b []byte, seen int) bool {
	for from := max(seen-3, 0); from < len(b); {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return false
		}
		i += from
		if i == 0 || b[i-1] != '\r' || i >= 3 && b[i-2] == '\n' && b[i-3] == '\r' {
			return true
		}
		from = i + 1
	}
	return false
}

func (in *input) grow(limit int) {
	size := min(2*len(in.buf), limit+bufferSize)
	bigger := make([]byte, size)
	copy(bigger, in.buf[:in.w])
	if in.block != nil {
		blocks.Put(in.block)
		in.block = nil
	}
	in.buf = bigger
}

func unexpected(err error) error {
	if err == io.EOF || err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
