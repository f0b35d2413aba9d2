package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// How far back from its end a segment is looked through at start: more than can
// be written between two syncs. The last of it is read strictly.
const (
	suspect = 16 << 20
	strict  = 256 << 10
)

// tail is where a segment's lines end.
type tail struct {
	length int64
	seq    uint64
}

// stub is as much of an event as shows that a line is one.
type stub struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Seq  uint64    `json:"seq"`
	Type string    `json:"type"`
}

// tidy cuts the filler off an older segment that was never closed.
func tidy(r ref) error {
	f, err := os.Open(r.path)
	if err != nil {
		return err
	}
	var last [2]byte
	info, err := f.Stat()
	if err == nil && info.Size() >= 2 {
		_, err = f.ReadAt(last[:], info.Size()-2)
	}
	f.Close()
	if err != nil || last[1] == '\n' && last[0] == '}' {
		return err
	}
	_, err = repair(r)
	return err
}

// repair finds the end of the segment's lines. The process that wrote it may have
// been killed within a line, or the machine may have gone down with pages
// unwritten, in any order: lines that are not whole are set aside in a file
// beside the segment, and whole lines are kept wherever they are.
func repair(r ref) (tail, error) {
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		return tail{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return tail{}, err
	}
	end, err := contentEnd(f, info.Size())
	if err != nil {
		return tail{}, err
	}
	from, err := lineStart(f, max(0, end-suspect))
	if err != nil {
		return tail{}, err
	}
	b := make([]byte, end-from)
	if _, err := io.ReadFull(io.NewSectionReader(f, from, end-from), b); err != nil {
		return tail{}, err
	}
	good, torn, seq := sift(b)
	if seq == 0 { // nothing whole in the part that was read strictly
		seq = max(lastSeq(good), r.first-1)
	}
	t := tail{length: from + int64(len(good)), seq: seq}
	if len(torn) > 0 {
		if err := setAside(r.path, torn); err != nil {
			return tail{}, err
		}
	}
	if !bytes.HasPrefix(append(b, '\n'), good) {
		if err := rewrite(f, r.path, from, good); err != nil {
			return tail{}, err
		}
		return t, nil
	}
	if t.length > end { // the last line is whole but for its line feed
		if _, err := f.WriteAt([]byte{'\n'}, end); err != nil {
			return tail{}, err
		}
	}
	if err := shorten(f, t.length); err != nil {
		return tail{}, fmt.Errorf("cutting the unused end off %s: %w", r.path, err)
	}
	return t, f.Sync()
}

// contentEnd is where the filler, or pages that were never written, begin.
func contentEnd(f *os.File, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for size > 0 {
		n := min(size, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], size-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if rest := bytes.TrimRight(buf[:n], "\n\x00"); len(rest) > 0 {
			return size - n + int64(len(rest)), nil
		}
		size -= n
	}
	return 0, nil
}

// lineStart is the first start of a line at or behind off.
func lineStart(f *os.File, off int64) (int64, error) {
	if off == 0 {
		return 0, nil
	}
	buf := make([]byte, 64<<10)
	for at := off - 1; ; at += int64(len(buf)) {
		n, err := f.ReadAt(buf, at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		if errors.Is(err, io.EOF) {
			return off, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// sift parts whole lines from torn ones, and finds the last number.
func sift(b []byte) (good, torn []byte, seq uint64) {
	strictFrom := len(b) - strict
	clean := 0 // how much of b is whole lines from its start: no copy needed so far
	copied := false
	for at := 0; at < len(b); {
		next := len(b)
		if i := bytes.IndexByte(b[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		line := bytes.TrimSuffix(b[at:next], []byte{'\n'})
		s, ok := whole(line, next > strictFrom, seq)
		switch {
		case ok:
			if s > 0 {
				seq = s
			}
			if !copied {
				clean = next
			} else {
				good = append(append(good, line...), '\n')
			}
		default:
			if !copied {
				good, copied = append([]byte(nil), b[:clean]...), true
			}
			if len(bytes.Trim(line, "\x00")) > 0 {
				torn = append(append(torn, line...), '\n')
			}
		}
		at = next
	}
	if !copied {
		good = b[:clean:clean]
	}
	if len(good) > 0 && good[len(good)-1] != '\n' {
		good = append(good, '\n')
	}
	return good, torn, seq
}

// whole says whether the line is an event, and which if it was read strictly.
func whole(line []byte, strictly bool, after uint64) (uint64, bool) {
	if !bytes.HasPrefix(line, []byte(`{"id":"`)) || !bytes.HasSuffix(line, []byte{'}'}) || bytes.IndexByte(line, 0) >= 0 {
		return 0, false
	}
	if !strictly {
		return 0, true
	}
	var s stub
	if json.Unmarshal(line, &s) != nil || s.ID == "" || s.Type == "" || s.Seq <= after {
		return 0, false
	}
	return s.Seq, true
}

func lastSeq(lines []byte) uint64 {
	lines = bytes.TrimSuffix(lines, []byte{'\n'})
	var s stub
	_ = json.Unmarshal(lines[bytes.LastIndexByte(lines, '\n')+1:], &s)
	return s.Seq
}

func setAside(path string, torn []byte) error {
	name := strings.TrimSuffix(path, suffix) + tornSuffix
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("setting a torn line aside: %w", err)
	}
	_, err = f.Write(torn)
	return errors.Join(err, f.Sync(), f.Close())
}

// rewrite replaces the segment by its first `from` bytes and the good lines, in
// one step: a crash leaves the old file or the new one.
func rewrite(f *os.File, path string, from int64, good []byte) error {
	temp := path + ".repair"
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, 0, from))
	if err == nil {
		_, err = out.Write(good)
	}
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("repairing %s: %w", path, err)
	}
	return os.Rename(temp, path)
}
