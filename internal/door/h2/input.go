package h2

import (
	"io"
	"net"
	"sync"

	"github.com/sallyport/sallyport/internal/door/h2/frame"
)

// inputSize holds the largest frame that a client may send, and then some.
const inputSize = frame.HeaderLen + frame.MinMax + 1<<10

type inputBlock [inputSize]byte

var inputBlocks = sync.Pool{New: func() any { return new(inputBlock) }}

// input is the client's side of reading: one buffer of frames, which is given back
// while the connection idles.
type input struct {
	nc    net.Conn
	block *inputBlock
	r, w  int // unread bytes are block[r:w]
	small [64]byte
}

// unread is what has been read and not used.
func (in *input) unread() []byte {
	if in.block == nil {
		return nil
	}
	return in.block[in.r:in.w]
}

// fill reads more behind what is unread, and makes room for a frame of need bytes
// first. idle says that nothing is under way on the connection: it then waits
// without a buffer.
func (in *input) fill(need int, idle bool) error {
	if in.r == in.w {
		in.r, in.w = 0, 0
		if idle {
			in.release()
			n, err := in.nc.Read(in.small[:])
			if n > 0 {
				in.take()
				in.w = copy(in.block[:], in.small[:n])
				return nil
			}
			return ended(err)
		}
	}
	in.take()
	if len(in.block)-in.r < need || in.w == len(in.block) {
		in.w = copy(in.block[:], in.block[in.r:in.w])
		in.r = 0
	}
	n, err := in.nc.Read(in.block[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	return ended(err)
}

func (in *input) take() {
	if in.block == nil {
		in.block = inputBlocks.Get().(*inputBlock)
	}
}

func (in *input) release() {
	if in.block != nil {
		inputBlocks.Put(in.block)
		in.block = nil
	}
	in.r, in.w = 0, 0
}

func ended(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}
