package h1

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

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
	raw     syscall.RawConn // nil on TLS
	tryRead func(fd uintptr) bool
	small   []byte // TLS: what an idle connection waits with

	block *block
	buf   []byte // the block, or a larger one for a large head
	r, w  int    // unread bytes are buf[r:w]
	err   error
}

func (in *input) init(nc net.Conn) {
	in.nc = nc
	if _, ok := nc.(*tls.Conn); ok {
		in.small = make([]byte, 512)
		return
	}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			in.raw = raw
			in.tryRead = in.readOnce
		}
	}
	if in.raw == nil {
		in.small = make([]byte, 512)
	}
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
	in.take()
	for {
		n, err := syscall.Read(int(fd), in.buf)
		switch {
		case err == syscall.EINTR:
			continue
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
}

// await waits for the first bytes of a request, holding no buffer.
func (in *input) await() error {
	if in.r < in.w {
		return nil
	}
	in.release()
	if in.raw != nil {
		in.err = nil
		if err := in.raw.Read(in.tryRead); err != nil {
			return err
		}
		return in.err
	}
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
// most that a head may take.
func (in *input) head(req *wire.Request, limit int, began func()) (int, error) {
	if err := in.await(); err != nil {
		return 0, err
	}
	began()
	in.compact()
	seen := 0
	for {
		if ready(in.buf[:in.w], seen) {
			n, err := wire.ParseRequest(in.buf[:in.w], req)
			if err != nil || n > 0 {
				if n > limit {
					return 0, wire.TooLarge
				}
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
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
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

// body reads a request's body: buffered bytes first, then the connection.
type body struct {
	in      *input
	left    int64 // of a body with a length
	chunked bool
	chunks  wire.Chunks
	limit   int64 // 0 = none
	count   int64
	ended   bool
	// trailers are copied out of the buffer.
	trailers []field
	buf      []byte // where a streamed body is read to; nil until needed
	block    *block
	r, w     int
}

type field struct{ name, value string }

func (b *body) start(in *input, length, limit int64) {
	*b = body{in: in, left: length, chunked: length < 0, limit: limit, trailers: b.trailers[:0]}
	b.ended = length == 0
}

// buffered is the part of a body with a length that is there already, all of it
// if whole; the bytes are used up.
func (b *body) buffered() (data []byte, whole bool) {
	n := min(int64(b.in.w-b.in.r), b.left)
	data = b.in.buf[b.in.r : b.in.r+int(n)]
	b.in.r += int(n)
	b.left -= n
	b.count += n
	b.ended = b.left == 0
	return data, b.ended
}

var errTooLarge = wire.Malformed("the body is larger than the limit")

// next gives the next piece of the body, io.EOF behind the last. The piece is
// valid until the next call.
func (b *body) next() ([]byte, error) {
	if b.ended {
		return nil, io.EOF
	}
	if b.chunked {
		return b.nextChunk()
	}
	if b.in.r < b.in.w {
		data, _ := b.buffered()
		return data, nil
	}
	b.space()
	n, err := b.in.nc.Read(b.buf[:min(int64(len(b.buf)), b.left)])
	if n == 0 {
		return nil, unexpected(err)
	}
	b.left -= int64(n)
	b.count += int64(n)
	b.ended = b.left == 0
	return b.buf[:n], nil
}

func (b *body) nextChunk() ([]byte, error) {
	for {
		src := b.unread()
		data, taken, end, err := b.chunks.Next(src)
		if err != nil {
			return nil, err
		}
		b.skip(taken)
		if end {
			if err := b.readTrailers(); err != nil {
				return nil, err
			}
			b.ended = true
			return nil, io.EOF
		}
		if len(data) > 0 {
			if b.count += int64(len(data)); b.limit > 0 && b.count > b.limit {
				return nil, errTooLarge
			}
			return data, nil
		}
		if err := b.more(); err != nil {
			return nil, err
		}
	}
}

func (b *body) readTrailers() error {
	for {
		fields, n, err := wire.ParseTrailers(b.unread(), nil)
		if err != nil {
			return err
		}
		if n > 0 {
			for _, f := range fields {
				b.trailers = append(b.trailers, field{string([]byte(f.Name)), string([]byte(f.Value))})
			}
			b.skip(n)
			return nil
		}
		if err := b.more(); err != nil {
			return err
		}
	}
}

// unread is what has been read and not used: of the head's buffer first, of the
// body's own once that is empty.
func (b *body) unread() []byte {
	if b.buf == nil {
		return b.in.buf[b.in.r:b.in.w]
	}
	return b.buf[b.r:b.w]
}

func (b *body) skip(n int) {
	if b.buf == nil {
		b.in.r += n
		return
	}
	b.r += n
}

func (b *body) space() {
	if b.buf == nil {
		b.block = blocks.Get().(*block)
		b.buf = b.block[:]
	}
}

// more reads behind what is unread, in the body's own buffer: the head's stays
// as it is, for the head's strings live in it.
func (b *body) more() error {
	if b.buf == nil {
		rest := b.in.buf[b.in.r:b.in.w]
		b.space()
		b.r, b.w = 0, copy(b.buf, rest)
		b.in.r = b.in.w
	}
	if b.r > 0 {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	if b.w == len(b.buf) {
		return wire.TooLarge
	}
	n, err := b.in.nc.Read(b.buf[b.w:])
	if n == 0 {
		return unexpected(err)
	}
	b.w += n
	return nil
}

// finish hands bytes that belong to the next request back to the input.
func (b *body) finish() {
	if b.buf == nil {
		return
	}
	if rest := b.buf[b.r:b.w]; b.chunked && len(rest) > 0 {
		b.in.w = copy(b.in.buf, rest)
		b.in.r = 0
	}
	if b.block != nil {
		blocks.Put(b.block)
	}
	b.buf, b.block = nil, nil
}

func unexpected(err error) error {
	if err == io.EOF || err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// drain reads what is left of a body that nobody wanted, within reason, so that
// the connection can be kept; false = it cannot.
func (b *body) drain(most int64, until time.Time) bool {
	if b.ended {
		return true
	}
	if !b.chunked && b.left > most {
		return false
	}
	_ = b.in.nc.SetReadDeadline(until)
	defer func() { _ = b.in.nc.SetReadDeadline(time.Time{}) }()
	for n := int64(0); n <= most; {
		data, err := b.next()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		n += int64(len(data))
	}
	return false
}
