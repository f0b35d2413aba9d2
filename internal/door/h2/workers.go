package h2

import "sync/atomic"

// keptWorkers is how many workers wait for work. A new goroutine would have to grow
// its stack again for every request; more than these are made where more streams
// are at work, and go when they are done.
const keptWorkers = 512

// job is a stream whose request is to be carried, or a connection whose buffer is
// to be written out.
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
		w.idle.Add(-1)
		if !ok {
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
