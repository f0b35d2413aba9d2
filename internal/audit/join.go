package audit

import "github.com/sallyport/sallyport/internal/model"

// The parts of an access event.
const (
	PartDecision   = "decision"
	PartCompletion = "completion"
)

// maxHeld bounds the completions that wait for their decision.
const maxHeld = 100_000

// join brings the two parts of a request together, for a reader who goes from
// the newest event to the oldest and hence meets the completion first.
type join struct{ held map[string]model.Event }

func newJoin() *join { return &join{held: map[string]model.Event{}} }

// hold keeps a completion until its decision comes.
func (j *join) hold(e model.Event) bool {
	if e.Type != model.EventAccess || e.Part != PartCompletion || e.RequestID == "" {
		return false
	}
	if len(j.held) < maxHeld {
		j.held[e.RequestID] = e
	}
	return true
}

// complete says whether e stands for a request, or for something else, as a
// whole. A completion is held back, and a decision takes its completion in.
func (j *join) complete(e *model.Event) bool {
	if j.hold(*e) {
		return false
	}
	if e.Type != model.EventAccess || e.Part != PartDecision {
		return true
	}
	c, ok := j.held[e.RequestID]
	if !ok {
		return true
	}
	delete(j.held, e.RequestID)
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
	return true
}
