package h2

import (
	"errors"
	"io"
	"sync"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	// mostInterim bounds the interim answers to one request, and mostAnswerHead a
	// target's head.
	mostInterim    = 100
	mostAnswerHead = 256 << 10
)

// answerBlock holds as much of a body as one DATA frame takes.
type answerBlock [dataSize]byte

var answerBlocks = sync.Pool{New: func() any { return new(answerBlock) }}

// answer reads a target's answer from the connection that the door speaks over.
type answer struct {
	from   io.Reader
	res    wire.Response
	fields []model.Field // res.Fields' memory
	buf    []byte
	block  *answerBlock
	r, w   int
	any    bool // a byte of an answer was seen

	left     int64 // of a body whose length is known
	chunks   wire.Chunks
	whole    bool // the body was read to its end
	trailers []model.Field
}

func (a *answer) start(from io.Reader) {
	a.free()
	block := answerBlocks.Get().(*answerBlock)
	*a = answer{from: from, fields: a.fields, buf: block[:], block: block, trailers: a.trailers[:0]}
}

// free gives the buffer back: nothing of the answer may be used any more.
func (a *answer) free() {
	if a.block != nil {
		a.fields = a.res.Fields[:0]
		answerBlocks.Put(a.block)
		a.block, a.buf, a.from = nil, nil, nil
	}
}

// head reads up to the final answer's head. Interim ones are given to inform.
func (a *answer) head(method string, inform func(*wire.Response)) error {
	a.res.Fields = a.fields
	for interim, seen := 0, 0; ; {
		if a.w > a.r && headEnds(a.buf[a.r:a.w], seen) {
			n, err := wire.ParseResponse(a.buf[a.r:a.w], method, &a.res)
			if err != nil {
				return err
			}
			if n > 0 {
				a.r += n
				switch {
				case a.res.Status == 101:
					return wire.Malformed("the target switched protocols unasked")
				case a.res.Status >= 200:
					a.left = a.res.Length
					a.whole = a.res.Length == 0
					return nil
				}
				if interim++; interim > mostInterim {
					return wire.Malformed(upstream.ErrFlood.Error())
				}
				if a.res.Status != 100 {
					inform(&a.res)
				}
				seen = 0
				continue
			}
		}
		if a.w-a.r >= mostAnswerHead {
			return wire.Malformed("the head of the answer is too large")
		}
		seen = a.w - a.r
		if err := a.fill(); err != nil {
			return err
		}
	}
}

// headEnds says whether a head may end in b, of which the first seen bytes have
// been looked at: parsing waits for that, or a head that comes a byte at a time
// would be parsed as often.
func headEnds(b []byte, seen int) bool {
	for i := max(seen, 1); i < len(b); i++ {
		if b[i] != '\n' {
			continue
		}
		if b[i-1] == '\n' || i >= 2 && b[i-1] == '\r' && b[i-2] == '\n' {
			return true
		}
	}
	return len(b) >= 12 && b[0] != 'H' // no answer at all: say so at once
}

// fill reads more behind what is unread.
func (a *answer) fill() error {
	if a.r > 0 {
		a.w = copy(a.buf, a.buf[a.r:a.w])
		a.r = 0
	}
	if a.w == len(a.buf) {
		bigger := make([]byte, 4*len(a.buf))
		copy(bigger, a.buf)
		a.buf = bigger
	}
	n, err := a.from.Read(a.buf[a.w:])
	a.w += n
	a.any = a.any || n > 0
	switch {
	case n > 0:
		return nil
	case err == io.EOF || err == nil:
		return io.ErrUnexpectedEOF
	}
	return err
}

// take gives the next piece of the body that is there already; end says that it is
// the last. Nothing and no end: fill, and take again. A piece is valid until fill.
func (a *answer) take() (piece []byte, end bool, err error) {
	switch {
	case a.res.Length == wire.LengthChunked:
		return a.takeChunk()
	case a.res.Length == wire.LengthClose:
		piece = a.buf[a.r:a.w]
		a.r = a.w
		return piece, false, nil
	}
	n := int(min(int64(a.w-a.r), a.left))
	piece = a.buf[a.r : a.r+n]
	a.r += n
	a.left -= int64(n)
	a.whole = a.left == 0
	return piece, a.whole, nil
}

func (a *answer) takeChunk() ([]byte, bool, error) {
	piece, taken, end, err := a.chunks.Next(a.buf[a.r:a.w])
	if err != nil {
		return nil, false, err
	}
	a.r += taken
	if !end {
		return piece, false, nil
	}
	fields, n, err := wire.ParseTrailers(a.buf[a.r:a.w], a.trailers[:0])
	if err != nil {
		return nil, false, err
	}
	if n == 0 {
		if a.w-a.r >= mostAnswerHead {
			return nil, false, wire.TooLarge
		}
		return nil, false, nil
	}
	a.r += n
	a.trailers, a.whole = fields, true
	return nil, true, nil
}

// more is fill within a body, whose end may be the connection's.
func (a *answer) more() (end bool, err error) {
	err = a.fill()
	if a.res.Length == wire.LengthClose && errors.Is(err, io.ErrUnexpectedEOF) {
		a.whole = true
		return true, nil
	}
	return false, err
}

// reusable says whether the connection stands exactly behind the answer.
func (a *answer) reusable() bool { return a.whole && !a.res.Close && a.r == a.w }
