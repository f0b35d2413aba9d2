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
// while there is nothing to read.
type input struct {
	nc    net.Conn
	block *inputBlock
	r, w  int // unread bytes are block[r:w]
	small [smallInput]byte
	full  bool // the last read was of small, and has filled it
}

// smallInput is what a connection waits with. Over TLS the rest of a record is read
// from memory.
const smallInput = 512

// unread is what has been read and not used.
func (in *input) unread() []byte {
	if in.block == nil {
		return nil
	}
	return in.block[in.r:in.w]
}

// fill reads more behind what is unread, and makes room for a frame of need bytes
// first. Where nothing is unread, it waits without a buffer: answers may take long,
// and a connection that idles behind them is still in the same wait.
func (in *input) fill(need int) error {
	if in.r == in.w {
		in.release()
		n, err := in.nc.Read(in.small[:])
		if in.full = n == smallInput; n > 0 {
			in.take()
			in.w = copy(in.block[:], in.small[:n])
			return nil
		}
		return ended(err)
	}
	in.take()
	if len(in.block)-in.r < need || in.w == len(in.block) {
		in.w = copy(in.block[:], in.block[in.r:in.w])
		in.r = 0
	}
	n, err := in.nc.Read(in.block[in.w:])
	in.full = false
	in.w += n
	if n > 0 {
		return nil
	}
	return ended(err)
}

// torn says that the frame at hand goes on where small ended: all but surely in the
// same TLS record, so that reading on is no wait.
func (in *input) torn() bool { return in.full && in.r < in.w }

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
