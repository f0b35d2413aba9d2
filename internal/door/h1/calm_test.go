package h1

import (
	"testing"
)

func TestMemoryIsGivenBackOnceBehindAWaveOfConnections(t *testing.T) {
	freed := make(chan bool, 100)
	c := calm{free: func() { freed <- true }}
	times := func(numbers ...int) (n int) {
		for _, x := range numbers {
			before := c.freed
			c.look(x)
			if c.freed > before {
				<-freed
				n++
			}
		}
		return n
	}
	for _, w := range []struct {
		why     string
		numbers []int
		want    int
	}{
		{"few connections", []int{0, 10, 500, 900, 900, 900}, 0},
		{"a wave that is still rising", []int{2000, 4000, 6000}, 0},
		{"it has risen", []int{6010, 6010, 6010}, 1},
		{"a few more", []int{6500, 6500, 6500}, 0},
		{"another wave", []int{8000, 8000}, 1},
		{"they go", []int{4000, 100, 100}, 0},
		{"and come again", []int{3000, 3000, 3000}, 1},
	} {
		if n := times(w.numbers...); n != w.want {
			t.Errorf("%s: given back %d times, want %d", w.why, n, w.want)
		}
	}
}
