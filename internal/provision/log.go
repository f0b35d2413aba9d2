package provision

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// How many changes are told one by one: in an answer, and in a revision and its
// audit event. The rest are counted, so that a million imported users make no
// event of a gigabyte.
const (
	toldInAnswer = 10_000
	toldInEvent  = 500
)

// changeLog is what a change did, secrets masked.
type changeLog struct {
	told   []model.Change
	more   map[[2]string]int // kind and action of those not told
	impact Impact
}

func action(before, after any) string {
	switch {
	case before == nil:
		return "create"
	case after == nil:
		return "delete"
	}
	return "update"
}

func (l *changeLog) add(kind, name string, before, after any) {
	if len(l.told) >= toldInAnswer {
		l.count(kind, action(before, after))
		return
	}
	l.told = append(l.told, model.Change{Kind: kind, Name: name, Action: action(before, after), Before: before, After: after})
}

// full says that another change would only be counted, so that its two sides
// need not be made.
func (l *changeLog) full() bool { return len(l.told) >= toldInAnswer }

func (l *changeLog) count(kind, action string) {
	if l.more == nil {
		l.more = map[[2]string]int{}
	}
	l.more[[2]string{kind, action}]++
}

func (l *changeLog) empty() bool { return len(l.told) == 0 && len(l.more) == 0 }

func (l *changeLog) all() []model.Change { return l.first(len(l.told)) }

func (l *changeLog) short() []model.Change { return l.first(toldInEvent) }

func (l *changeLog) first(n int) []model.Change {
	n = min(n, len(l.told))
	out := append([]model.Change{}, l.told[:n]...)
	more := map[[2]string]int{}
	for k, v := range l.more {
		more[k] = v
	}
	for _, c := range l.told[n:] {
		more[[2]string{c.Kind, c.Action}]++
	}
	keys := make([][2]string, 0, len(more))
	for k := range more {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i][0]+keys[i][1] < keys[j][0]+keys[j][1] })
	for _, k := range keys {
		out = append(out, model.Change{Kind: k[0], Name: "*", Action: k[1], After: map[string]int{"more": more[k]}})
	}
	return out
}

// undoStep is one object as it was before; a nil body says that it was not there.
type undoStep struct {
	Kind   string          `json:"kind"`
	Name   string          `json:"name"` // of a user, its id
	Owner  string          `json:"owner,omitempty"`
	Before json.RawMessage `json:"before,omitempty"`
}

// undoLog collects what a rollback needs, as JSON lines, with secrets. What an
// object was after the change is not kept: it is what the next change found, or
// what is stored now.
type undoLog struct {
	lines bytes.Buffer
	err   error
}

func (u *undoLog) add(s undoStep) {
	b, err := json.Marshal(s)
	u.err = errors.Join(u.err, err)
	u.lines.Write(b)
	u.lines.WriteByte('\n')
}

func (u *undoLog) object(kind, name string, before *store.Object) {
	s := undoStep{Kind: kind, Name: name}
	if before != nil {
		s.Owner, s.Before = before.Owner, before.Body
	}
	u.add(s)
}

func (u *undoLog) user(id string, before *store.UserRecord) {
	s := undoStep{Kind: KindUsers, Name: id}
	if before != nil {
		b, err := json.Marshal(before.User)
		u.err = errors.Join(u.err, err)
		s.Owner, s.Before = before.Owner, b
	}
	u.add(s)
}

// encode compresses what is large.
func (u *undoLog) encode() ([]byte, error) {
	if u.err != nil || u.lines.Len() < 4096 {
		return u.lines.Bytes(), u.err
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(u.lines.Bytes()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// decodeUndo reads what encode wrote, in the order in which it happened.
func decodeUndo(b []byte) ([]undoStep, error) {
	var r io.Reader = bytes.NewReader(b)
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	}
	var steps []undoStep
	for d := json.NewDecoder(r); ; {
		var s undoStep
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF):
			return steps, nil
		case err != nil:
			return nil, fmt.Errorf("reading what a rollback needs: %w", err)
		}
		steps = append(steps, s)
	}
}

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding an object: %w", err)
	}
	return b, nil
}
