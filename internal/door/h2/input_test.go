package h2

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/h2/frame"
	"github.com/sallyport/sallyport/internal/door/targettest"
)

func TestASmallBodyGoesOnWithItsLengthWhereverItsFrameIsTorn(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, true, patient)
	c := g.dial()
	id := uint32(1)
	send := func(n int) int64 {
		head := c.Block(post...)
		out := append(frame.Append(nil, len(head), frame.Headers, frame.EndHeaders, id), head...)
		out = append(frame.Append(out, n, frame.Data, frame.EndStream, id), make([]byte, n)...)
		_, err := c.NC.Write(out)
		c.Must(err)
		c.Answer(id)
		id += 2
		return b.Last().ContentLength
	}
	for _, n := range []int{1, 100, smallInput - 120, smallInput - 60, smallInput - 30, smallInput, 2 * smallInput, 16000} {
		// The rest is waited for a moment, not for ever: on a busy machine it may come later.
		got := int64(-1)
		for try := 0; try < 20 && got == -1; try++ {
			got = send(n)
		}
		if got != int64(n) {
			t.Errorf("%d bytes: the backend saw the length %d", n, got)
		}
	}
}

func TestAFrameThatIsTornAndNeverGoesOnIsNotWaitedForForEver(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, true, limits(func(c *Config) { c.IdleTimeout = 20 * time.Second }))
	c := g.dial()
	c.Good(1)
	head := c.Block(post...)
	out := append(frame.Append(nil, len(head), frame.Headers, frame.EndHeaders, 3), head...)
	out = frame.Append(out, 16000, frame.Data, frame.EndStream, 3)
	_, err := c.NC.Write(append(out, make([]byte, smallInput-len(out))...)) // a record that fills the small buffer
	c.Must(err)
	begin := time.Now()
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("after %v", d)
	}
}

func TestAConnectionThatWaitsHoldsNoBuffer(t *testing.T) {
	b, letGo := targettest.Gated(t)
	g := start(t, b.URL, true, patient)
	c := g.dial()
	c.Request(1, true, get...)
	for end := time.Now().Add(5 * time.Second); b.Count() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	time.Sleep(20 * time.Millisecond)
	for _, s := range g.server.all(nil) {
		s.mu.Lock() // the reader has been here before it waited
		if s.in.block != nil {
			t.Error("it holds one")
		}
		s.mu.Unlock()
	}
	letGo()
	c.Answer(1)
}
