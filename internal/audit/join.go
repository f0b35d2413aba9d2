package audit

import (
	"bytes"

	"github.com/sallyport/sallyport/internal/model"
)

// The parts of an access event.
const (
	PartDecision   = "decision"
	PartCompletion = "completion"
)

// maxHeld bounds the completions that wait for their decision.
const maxHeld = 50_000

var (
	completionMark = []byte(`,"part":"completion",`)
	requestMark    = []byte(`,"requestId":"`)
)

// join brings the two parts of a request together, for a reader who goes from
// the newest event to the oldest and hence meets the completion first. It keeps
// completions as lines: most are never asked for.
type join struct{ held map[string][]byte }

func newJoin() *join { return &join{held: map[string][]byte{}} }

// requestOf is the request id within a line; nil where it has none. Marks cannot
// be part of a text, in which quotation marks are escaped.
func requestOf(line []byte) []byte {
	_, rest, ok := bytes.Cut(line, requestMark)
	if !ok {
		return nil
	}
	id, _, _ := bytes.Cut(rest, []byte{'"'})
	return id
}

// hold keeps a completion until its decision comes; false for other events.
func (j *join) hold(line []byte) bool {
	if !bytes.Contains(line, completionMark) {
		return false
	}
	if id := requestOf(line); len(id) > 0 && len(j.held) < maxHeld {
		j.held[string(id)] = bytes.Clone(line)
	}
	return true
}

// drop forgets the completion of a decision that nobody asks for.
func (j *join) drop(line []byte) { delete(j.held, string(requestOf(line))) }

// complete takes the decision's completion in.
func (j *join) complete(e *model.Event) {
	line, ok := j.held[e.RequestID]
	if e.Type != model.EventAccess || e.Part != PartDecision || !ok {
		return
	}
	delete(j.held, e.RequestID)
	c, ok := decode(line)
	if !ok {
		return
	}
	e.Part = ""
	if c.Outcome != "" {
		e.Outcome = c.Outcome
	}
	if c.Code != "" && c.Code != model.Allowed {
		e.Code, e.Step = c.Code, c.Step
	}
	if c.Reason != "" {
		e.Reason = c.Reason
	}
	if c.Status != 0 {
		e.Status = c.Status
	}
	e.BytesIn, e.BytesOut, e.DurationMs = c.BytesIn, c.BytesOut, c.DurationMs
}

// decided says whether a field is in the decision alone, so that a search can
// pass a decision over by its line.
func decided(field string) bool {
	switch field {
	case "part", "outcome", "step", "code", "reason":
		return false
	}
	return true
}
