package h1

import (
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

// drainMost is how much of a body that nobody wants is read, to keep the connection.
const drainMost = 64 << 10

// body reads a request's body: buffered bytes first, then the connection.
type body struct {
	in      *input
	left    int64 // of a body with a length
	chunked bool
	chunks  wire.Chunks
	end     bool  // the last chunk was read, and trailers follow
	limit   int64 // 0 = none
	count   int64
	ended   bool
	// trailers are copied out of the buffer.
	trailers []model.Field
	buf      []byte // where a streamed body is read to; nil until needed
	block    *block
	r, w     int
}

func (b *body) start(in *input, length, limit int64) {
	*b = body{in: in, left: max(length, 0), chunked: length < 0, limit: limit, ended: length == 0}
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
// valid until the next call. After an error that left nothing half-read, such as
// a deadline, it may be called again.
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
	for !b.end {
		data, taken, end, err := b.chunks.Next(b.unread())
		if err != nil {
			return nil, err
		}
		b.skip(taken)
		b.end = end
		if len(data) > 0 {
			if b.count += int64(len(data)); b.limit > 0 && b.count > b.limit {
				return nil, errTooLarge
			}
			return data, nil
		}
		if !end {
			if err := b.more(); err != nil {
				return nil, err
			}
		}
	}
	return nil, b.readTrailers()
}

// readTrailers ends the body; io.EOF says that it did.
func (b *body) readTrailers() error {
	for {
		fields, n, err := wire.ParseTrailers(b.unread(), nil)
		if err != nil {
			return err
		}
		if n > 0 {
			for _, f := range fields {
				b.trailers = append(b.trailers, model.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)})
			}
			b.skip(n)
			b.ended = true
			return io.EOF
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
		if len(rest) >= bufferSize { // of trailers, for a size line is never that long
			return wire.TooLarge
		}
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

// finish hands bytes that belong to the next request back to the input, whose own
// are used up by now.
func (b *body) finish() {
	if b.buf == nil {
		return
	}
	if rest := b.buf[b.r:b.w]; b.chunked && len(rest) > 0 {
		b.in.r, b.in.w = 0, copy(b.in.buf, rest)
	}
	if b.block != nil {
		blocks.Put(b.block)
	}
	b.buf, b.block = nil, nil
}

// drain reads what is left of a body that nobody wanted, within reason, so that
// the connection can be kept; false = it cannot.
func (b *body) drain(most int64) bool {
	if !b.chunked && b.left > most {
		return false
	}
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
