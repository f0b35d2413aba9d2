package app

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
)

// since is what has changed since the last-good snapshot was saved: who left in
// the second between a change and its snapshot must not be brought back by a
// start that finds no store. It is a file of lines beside the snapshot, each a
// user's id, or everything. A line is written before its change is acknowledged,
// and outlives the process without being synced.
type since struct {
	snapshot, path string

	mu   sync.Mutex
	file *os.File
	list []line
	seq  int // of the last line there was
}

type line struct {
	seq int
	id  string
}

const (
	everything = "*"    // the configuration, or more users than are worth listing
	mostSince  = 10_000 // lines
)

func newSince(snapshot string) *since {
	s := &since{snapshot: snapshot, path: snapshot + ".since"}
	if b, err := os.ReadFile(s.path); err == nil {
		s.add(strings.Fields(string(b)))
	}
	return s
}

func (s *since) add(ids []string) {
	for _, id := range ids {
		s.seq++
		s.list = append(s.list, line{s.seq, id})
	}
}

// note adds ids. It is called once a change is felt, and before it is acknowledged.
// Where that cannot be done, the snapshot is good no more and goes: to start from
// nothing is better than to start from what is not true.
func (s *since) note(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.list); n+len(ids) > mostSince {
		if n > 0 && s.list[n-1].id == everything {
			s.list[n-1].seq++
			s.seq++
			return
		}
		ids = []string{everything}
	}
	if len(ids) == 0 {
		return
	}
	s.add(ids)
	if s.append(ids) != nil {
		_ = os.Remove(s.snapshot)
	}
}

func (s *since) append(ids []string) (err error) {
	if s.file == nil {
		if s.file, err = os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			return err
		}
	}
	_, err = s.file.WriteString(strings.Join(ids, "\n") + "\n")
	return err
}

// mark is where the list ends now. It is taken before what is saved is looked at.
func (s *since) mark() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// saved forgets what was noted up to a mark: the snapshot has it.
func (s *since) saved(mark int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(s.list), func(l line) bool { return l.seq <= mark })
	if len(left) == len(s.list) || s.rewrite(left) != nil {
		return // what stays too long does no harm
	}
	s.list = left
}

// rewrite puts a file with these lines in the place of the old one, in one step.
func (s *since) rewrite(list []line) error {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	if len(list) == 0 {
		return os.Remove(s.path)
	}
	var text strings.Builder
	for _, l := range list {
		text.WriteString(l.id + "\n")
	}
	aside := s.path + ".new"
	return errors.Join(os.WriteFile(aside, []byte(text.String()), 0o600), os.Rename(aside, s.path))
}

// has says whether something was noted.
func (s *since) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.list, func(l line) bool { return l.id == id })
}
