package h2

import "sync/atomic"

const (
	// keptWorkers is how many workers wait for work at most. A new goroutine would
	// have to grow its stack again for every request; more than these are made where
	// more streams are at work, and go when they are done.
	keptWorkers = 512
	// spareWorkers wait however little there is to do.
	spareWorkers = 8
)

// job is a stream whose request is to be carried, or a connection whose buffer is
// to be written out; neither means that the worker may go.
type job struct {
	st *stream
	c  *conn
}

func (j job) do() {
	if j.st != nil {
		j.st.serve()
		return
	}
	j.c.mu.Lock()
	j.c.flushAll()
	j.c.mu.Unlock()
}

// workers carry jobs. How many work at once is bounded by who hands jobs out: each
// connection has its streams and no more.
type workers struct {
	jobs   chan job
	idle   atomic.Int32
	least  atomic.Int32 // that were idle since trim looked
	closed atomic.Bool
}

// run gives the job to a worker that waits, or to a new one. It waits for nobody.
func (w *workers) run(j job) {
	select {
	case w.jobs <- j:
	default:
		go w.work(j)
	}
}

func (w *workers) work(j job) {
	for {
		j.do()
		j = job{}
		if w.idle.Add(1) > keptWorkers {
			w.idle.Add(-1)
			return
		}
		var ok bool
		j, ok = <-w.jobs
		if n := w.idle.Add(-1); n < w.least.Load() {
			w.least.Store(n)
		}
		if !ok || j == (job{}) {
			return
		}
	}
}

// trim lets some of the workers go that had nothing to do since it was called last.
// The server's clock calls it.
func (w *workers) trim() {
	n := w.least.Swap(w.idle.Load()) - spareWorkers
	for n = (n + 7) / 8; n > 0; n-- {
		select {
		case w.jobs <- job{}:
		default:
			return
		}
	}
}

// close lets the workers go; nobody calls run afterwards.
func (w *workers) close() {
	if !w.closed.Swap(true) {
		close(w.jobs)
	}
}
