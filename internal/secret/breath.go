package secret

import (
	"os"
	"runtime"
	"time"
)

// slice is how long a hash may compute before the others get their turn.
const slice = 200 * time.Microsecond

// breath divides long work into slices, so that requests that came in meanwhile
// are served between them.
//
// To yield alone does not do: the scheduler takes what is runnable before it looks
// at the network, and a goroutine that yields is runnable. To sleep does, but
// takes a whole millisecond where nobody else has work. So the work waits for a
// byte that is in a pipe already: with nothing left to run the scheduler looks at
// the network at once, finds the pipe and whatever else has come, and all get
// their turn. It costs a few microseconds.
type breath struct {
	since time.Time
	pipe  *os.File
	turn  chan struct{}
}

func (b *breath) begin() {
	b.since = time.Now()
	r, w, err := os.Pipe()
	if err != nil {
		return // out of descriptors: sleep instead
	}
	b.pipe, b.turn = w, make(chan struct{})
	go func() {
		defer close(b.turn)
		defer r.Close()
		var one [1]byte
		for {
			if _, err := r.Read(one[:]); err != nil {
				return
			}
			b.turn <- struct{}{}
		}
	}()
}

func (b *breath) end() {
	if b.pipe != nil {
		b.pipe.Close()
		<-b.turn
	}
}

// take is called often, and lets the others run where the slice is used up.
func (b *breath) take() {
	if time.Since(b.since) < slice {
		return
	}
	if b.pipe == nil {
		time.Sleep(slice)
	} else if _, err := b.pipe.Write([]byte{0}); err == nil {
		<-b.turn
		runtime.Gosched() // behind those who were found with the pipe
	}
	b.since = time.Now()
}
