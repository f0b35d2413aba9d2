package record

import (
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// Log is the audit log: what it has accepted survives the process.
type Log interface {
	Append(e *model.Event) error
}

// Meter counts; its labels are few and never a caller's choice.
type Meter interface {
	Observe(route, service, step, code string, gateway, target time.Duration)
	Security(kind string)
}

// Completion is what became of a request after its decision.
type Completion struct {
	Status   int
	BytesIn  int64
	BytesOut int64
	Duration time.Duration // from the request's first byte to the answer's last
	Target   time.Duration // of it, waiting for the target's answer to begin
	Err      *model.Error  // nil, or why forwarding failed
	Detail   string
}

// Recorder records. It is safe for concurrent use.
type Recorder struct {
	Log   Log
	Meter Meter
}

// Decided writes the decision part. An error means that it is not written, and
// that the request must not pass.
func (r *Recorder) Decided(ex *gate.Exchange) error {
	e := &ex.Event
	fill(e, ex)
	e.Part, e.Outcome, e.Step, e.Code = "decision", ex.Outcome(), string(ex.Step), ex.Code()
	if ex.Err != nil {
		e.Reason = ex.Detail
		if e.Reason == "" && ex.Err.Err != nil {
			e.Reason = ex.Err.Err.Error()
		}
		if ex.Preflight {
			e.Status = 204
		} else {
			e.Status = ex.Err.Code.Status()
		}
	} else {
		e.Step = ""
	}
	if len(ex.Reported) > 0 {
		e.Reason = "report: would refuse with " + string(ex.Reported[0].Code)
		r.Meter.Security("report_would_refuse")
	}
	if ex.Dropped != "" {
		e.Reason = strings.TrimSpace(e.Reason + " unknown here and dropped: " + ex.Dropped)
	}
	if err := r.Log.Append(e); err != nil {
		return err
	}
	if len(ex.Forged) > 0 {
		return r.forged(ex)
	}
	return nil
}

// forged records an attempt to bring an identity along (SPEC 7.3).
func (r *Recorder) forged(ex *gate.Exchange) error {
	var e model.Event
	fill(&e, ex)
	e.Type, e.Outcome, e.Step, e.Code = model.EventSecurity, "denied", string(gate.StepStrip), ""
	e.Reason = "identity header forged by the client: " + strings.Join(ex.Forged, ", ")
	r.Meter.Security("identity_header_forged")
	return r.Log.Append(&e)
}

func fill(e *model.Event, ex *gate.Exchange) {
	*e = model.Event{Type: model.EventAccess, RequestID: ex.ID, User: ex.Username(), Rule: ex.Rule,
		Method: ex.Method, Host: ex.Host, ClientIP: ex.IP()}
	if i := strings.IndexByte(ex.Request.Target, '?'); i >= 0 {
		e.Path = ex.Request.Target[:i]
	} else {
		e.Path = ex.Request.Target
	}
	if ua, ok := ex.Get("User-Agent"); ok {
		e.UserAgent = ua
	}
	if ex.Plan != nil {
		e.Revision = ex.Plan.Revision
	}
	if ex.Route != nil {
		e.Route, e.Service = ex.Route.Model.Name, ex.Route.Service.Name
	}
	if p := ex.Proof; p != nil {
		e.Provider = p.Provider
		if p.Credential != nil {
			e.Credential = p.Credential.ID
		}
	}
}

// Completed writes the completion part and counts the request. By now the answer
// has gone out; a log that fails here refuses the next decision. What the decision
// part has said already is not said again: readers see both as one.
func (r *Recorder) Completed(ex *gate.Exchange, c Completion) {
	e := &ex.Event
	route, service := "", ""
	if ex.Route != nil {
		route, service = ex.Route.Model.Name, ex.Route.Service.Name
	}
	step, code := ex.Step, ex.Code()
	*e = model.Event{Type: model.EventAccess, Part: "completion", RequestID: ex.ID, Status: c.Status, BytesIn: c.BytesIn, BytesOut: c.BytesOut,
		DurationMs: float64(c.Duration) / float64(time.Millisecond), Outcome: ex.Outcome(), Reason: c.Detail}
	switch {
	case c.Err != nil:
		step, code = gate.StepForward, c.Err.Code
		e.Step, e.Code, e.Outcome = string(step), code, "error"
		if e.Reason == "" && c.Err.Err != nil {
			e.Reason = c.Err.Err.Error()
		}
	case ex.Err != nil:
		e.Step, e.Code = string(step), code
	default:
		step = gate.StepComplete
	}
	if !ex.Time.IsZero() {
		e.Time = ex.Time.Add(c.Duration) // it is told how long it took: no look at the clock
	}
	_ = r.Log.Append(e) // its failure is the log's state, which the next Decided meets
	r.Meter.Observe(route, service, string(step), string(code), c.Duration-c.Target, c.Target)
}
