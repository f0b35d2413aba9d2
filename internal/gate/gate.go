package gate

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/gate/identity"
	"github.com/sallyport/sallyport/internal/model"
)

// steps are the decision, in the one order in which it is made. Each step fills
// in the exchange or refuses; the first refusal ends the walk.
var steps = [...]struct {
	name Step
	run  func(*Gate, context.Context, *Exchange) error
}{
	{StepStrip, (*Gate).strip},
	{StepLoop, (*Gate).loop},
	{StepMatch, (*Gate).match},
	{StepPreflight, (*Gate).preflight},
	{StepAuthenticate, (*Gate).authenticate},
	{StepResolve, (*Gate).resolve},
	{StepCSRF, (*Gate).csrf},
	{StepAuthorise, (*Gate).authorise},
	{StepIdentify, (*Gate).identify},
}

// Directory finds users by id and by what they present.
type Directory interface {
	Find(ctx context.Context, key directory.Key) (directory.Found, error)
	User(ctx context.Context, id string) (*directory.Principal, error)
}

// Recorder writes the decision down before anything is forwarded. Its error is a
// refusal: nothing passes that leaves no trace.
type Recorder interface {
	Decided(ex *Exchange) error
}

// Deps are what the engine needs from outside; all are required.
type Deps struct {
	Directory   Directory
	Provisioner directory.Provisioner
	Signer      *identity.Signer
	CSRF        *csrf.Check
	Recorder    Recorder
	Now         func() time.Time
}

// Gate decides. It holds no state of requests and is safe for concurrent use.
type Gate struct{ deps Deps }

// New makes a gate.
func New(d Deps) *Gate { return &Gate{deps: d} }

// Decide walks the steps and records the outcome. Afterwards ex.Err is nil where
// the request may pass, else the refusal, and ex.Step the step that refused.
func (g *Gate) Decide(ctx context.Context, ex *Exchange) {
	g.Walk(ctx, ex)
	if ex.Explain {
		return
	}
	if err := g.deps.Recorder.Decided(ex); err != nil {
		ex.Err = (&model.Error{Code: model.AuditUnavailable, RetryAfter: 1,
			Message: "The request cannot be recorded at the moment, and nothing passes unrecorded."}).WithCause(err)
		ex.Step, ex.Preflight = StepRecord, false
	}
}

// Walk runs the steps and records nothing: what explain and policy tests need.
func (g *Gate) Walk(ctx context.Context, ex *Exchange) {
	if ex.Plan == nil {
		ex.Step = StepAccept
		ex.Err = &model.Error{Code: model.ConfigurationUnavailable, RetryAfter: 5,
			Message: "The gateway has no configuration to decide by yet."}
		return
	}
	if ex.Err != nil { // the door refused while parsing; what remains is to strip and record
		return
	}
	for i := range steps {
		s := &steps[i]
		ex.Step = s.name
		before := len(ex.Trace)
		if err := s.run(g, ctx, ex); err != nil {
			ex.Err = model.AsError(err)
			if ex.Err.Code == model.Internal { // an unforeseen fault is never an open door, nor the caller's mistake
				ex.Err = (&model.Error{Code: model.ConfigurationUnavailable, RetryAfter: 5,
					Message: "The gateway met a fault of its own while deciding."}).WithCause(err)
			}
			if ex.Explain {
				ex.note("refused", string(ex.Err.Code)+": "+ex.detail())
			}
			return
		}
		if ex.Explain && len(ex.Trace) == before {
			ex.note("passed", ex.Detail)
		}
		ex.Detail = ""
		if ex.Preflight && s.name == StepPreflight {
			return
		}
	}
}

func (ex *Exchange) detail() string {
	if ex.Detail != "" {
		return ex.Detail
	}
	return ex.Err.Message
}

// note adds a finding of the step that is under way; for explain alone.
func (ex *Exchange) note(outcome, detail string) {
	ex.Trace = append(ex.Trace, model.Finding{Step: string(ex.Step), Outcome: outcome, Detail: detail})
}

// skip notes a step that does not apply.
func (ex *Exchange) skip(why string) error {
	if ex.Explain {
		ex.note("skipped", why)
	}
	return nil
}

type nowFunc = func() time.Time

// Challenges are the values of WWW-Authenticate for a 401, one for each method
// that the route accepts.
func (ex *Exchange) Challenges() []string {
	if ex.Err == nil || ex.Err.Code.Status() != 401 || ex.Route == nil || ex.Route.requirement == nil {
		return nil
	}
	var out []string
	for i, m := range ex.Plan.methods {
		if !ex.Route.requirement.Accepts(i) {
			continue
		}
		if c, ok := m.(authn.Challenger); ok {
			if s := c.Challenge(ex.Err); s != "" {
				out = append(out, s)
			}
		}
	}
	if len(out) == 0 {
		out = append(out, "Sallyport")
	}
	return out
}
