package doortest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

// Decision is what the gate decided on, as the recorder saw it.
type Decision struct {
	ID, Method, Target, Host string
	Code                     model.Code
	Step                     gate.Step
}

// Journey is the real gate, with a recorder that remembers.
type Journey struct {
	// User, where it is set, is who every request is taken to come from; else it is
	// the one of Users whom the field X-Test-User names; else nobody.
	User    *directory.Principal
	Users   map[string]*directory.Principal
	Expires time.Time            // of their credentials; zero = never
	Full    atomic.Bool          // decisions cannot be recorded
	Quiet   bool                 // remembers nothing: of a benchmark
	Before  func(*gate.Exchange) // runs before each decision is returned

	gate *gate.Gate
	plan *gate.Plan
	pool sync.Pool
	held atomic.Int64 // exchanges that were not given back

	mu      sync.Mutex
	decided []Decision
	done    chan record.Completion
}

// Acquire is of door.Gate, as all down to Complete.
func (j *Journey) Acquire() *gate.Exchange {
	j.held.Add(1)
	ex, ok := j.pool.Get().(*gate.Exchange)
	if !ok {
		ex = new(gate.Exchange)
	}
	ex.Plan = j.plan
	return ex
}

// Release takes an exchange back, and empties it: who uses it still is found out.
func (j *Journey) Release(ex *gate.Exchange) {
	j.held.Add(-1)
	ex.Reset()
	j.pool.Put(ex)
}

// Challenges are the gate's.
func (j *Journey) Challenges(ex *gate.Exchange) []string { return ex.Challenges() }

// Decide is the gate's, as if somebody had been authenticated.
func (j *Journey) Decide(ctx context.Context, ex *gate.Exchange) {
	j.gate.Decide(ctx, ex)
	if p := j.who(ex); p != nil && ex.Err == nil {
		ex.Access = &gate.Access{Principal: p}
		ex.Proof = &authn.Proof{Principal: p, Credential: &p.User.Credentials[0], Expires: j.Expires}
	}
	if j.Before != nil {
		j.Before(ex)
	}
}

func (j *Journey) who(ex *gate.Exchange) *directory.Principal {
	if j.User != nil || len(j.Users) == 0 {
		return j.User
	}
	name, _ := ex.Get("X-Test-User")
	return j.Users[name]
}

// Decided is of gate.Recorder.
func (j *Journey) Decided(ex *gate.Exchange) error {
	if j.Full.Load() {
		return errors.New("the disk is full")
	}
	if j.Quiet {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.decided = append(j.decided, Decision{strings.Clone(ex.ID), strings.Clone(ex.Method), strings.Clone(ex.Target), strings.Clone(ex.Host), ex.Code(), ex.Step})
	return nil
}

// Complete remembers what became of a request.
func (j *Journey) Complete(_ *gate.Exchange, c record.Completion) {
	if j.Quiet {
		return
	}
	select {
	case j.done <- c:
	default:
	}
}

// Decisions are the decisions so far.
func (j *Journey) Decisions() []Decision {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Decision(nil), j.decided...)
}

// Verdicts are the decisions so far, each as its method and its code.
func (j *Journey) Verdicts() (list []string) {
	for _, d := range j.Decisions() {
		list = append(list, d.Method+" "+string(d.Code))
	}
	return list
}

// Held is how many exchanges are out.
func (j *Journey) Held() int64 { return j.held.Load() }

// Principal is a user of that name, whose id is id-name and who has the credential
// c-name.
func Principal(name string) *directory.Principal {
	return directory.NewPrincipal(model.User{ID: "id-" + name, Username: name, Active: true, Credentials: []model.Credential{{ID: "c-" + name}}})
}
