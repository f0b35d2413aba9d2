package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/sallyport/sallyport/internal/model"
)

const block = 256 << 10

// span is a segment and where its lines end for a reader that began now.
type span struct {
	ref
	end int64
}

// spans is the log as it stands, oldest segment first.
func (l *Log) spans() ([]span, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	out := make([]span, len(l.refs))
	for i, r := range l.refs {
		out[i] = span{r, -1}
	}
	out[len(out)-1].end = l.current.end()
	return out, nil
}

// open opens the segment's file and finds its end, if that is not known.
func (s *span) open() (*os.File, error) {
	f, err := os.Open(s.path)
	if err != nil || s.end >= 0 {
		return f, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	s.end = info.Size()
	return f, nil
}

// backward reads a file's lines from the last to the first.
type backward struct {
	r   io.ReaderAt
	at  int64  // file offset of buf
	buf []byte // what was read and not yet given out, from a line's middle to a line's end
}

// next is the line before, its line feed taken off, and its offset; io.EOF at the start.
func (b *backward) next() ([]byte, int64, error) {
	for {
		trimmed := bytes.TrimRight(b.buf, string(filler))
		if len(trimmed) == 0 {
			b.buf = nil
		}
		if i := bytes.LastIndexByte(trimmed, '\n'); i >= 0 {
			line := trimmed[i+1:]
			b.buf = b.buf[:i+1]
			return line, b.at + int64(i) + 1, nil
		}
		if b.at == 0 {
			if len(b.buf) == 0 {
				return nil, 0, io.EOF
			}
			b.buf = nil
			return trimmed, 0, nil
		}
		n := min(b.at, int64(max(block, len(b.buf)))) // doubles for long lines
		joined := make([]byte, n+int64(len(b.buf)))
		if _, err := b.r.ReadAt(joined[:n], b.at-n); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		copy(joined[n:], b.buf)
		b.buf, b.at = joined, b.at-n
	}
}

// forward reads the lines of [from, end) in order; fn's error ends the reading.
func forward(ctx context.Context, r io.ReaderAt, from, end int64, fn func(line []byte, next int64) error) error {
	buf := make([]byte, 0, block)
	at := from // file offset behind buf
	for at < end || len(buf) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if at < end {
			if len(buf) == cap(buf) {
				buf = append(make([]byte, 0, 2*cap(buf)), buf...)
			}
			n := min(int64(cap(buf)-len(buf)), end-at)
			m, err := r.ReadAt(buf[len(buf):len(buf)+int(n)], at)
			if m == 0 && err != nil {
				if errors.Is(err, io.EOF) {
					return nil // someone cut the file
				}
				return err
			}
			buf, at = buf[:len(buf)+m], at+int64(m)
		}
		done := 0
		for {
			i := bytes.IndexByte(buf[done:], '\n')
			if i < 0 {
				break
			}
			line := buf[done : done+i]
			done += i + 1
			if len(line) == 0 {
				continue
			}
			if err := fn(line, at-int64(len(buf)-done)); err != nil {
				return err
			}
		}
		buf = buf[:copy(buf, buf[done:])]
		if at >= end {
			return nil // what is left has no line feed yet
		}
	}
	return nil
}

// decode reads one line; false for what is not an event, which a reader skips.
func decode(line []byte) (e model.Event, ok bool) {
	if len(line) == 0 || line[0] != '{' {
		return e, false
	}
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.ID != ""
}
