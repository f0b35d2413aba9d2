package authn

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/model"
)

// MaxMethods is the most methods that a table may have.
const MaxMethods = 8

// deepest is how far anyOf and allOf may be nested.
const deepest = 8

// Requirement is what a route accepts, compiled against the table of methods.
type Requirement struct {
	root    node
	accepts uint8 // one bit for each method of the table that is named anywhere
	table   []string
}

type node struct {
	op       operator
	method   int // in the table
	provider string
	children []node
}

type operator uint8

const (
	leaf operator = iota
	anyOf
	allOf
)

// Compile prepares a requirement for the methods of a table, in whose order
// credentials are tried. Paths of faults are left empty.
func Compile(want *model.Requirement, methods []Method) (*Requirement, model.Faults) {
	var f model.Faults
	q := &Requirement{}
	if len(methods) > MaxMethods {
		f.Add("", fmt.Sprintf("there are %d methods, and at most %d can be", len(methods), MaxMethods))
		return nil, f
	}
	for _, m := range methods {
		q.table = append(q.table, m.Name())
	}
	q.root = q.compile(want, 0, &f)
	if len(f) > 0 {
		return nil, f
	}
	return q, nil
}

func (q *Requirement) compile(want *model.Requirement, depth int, f *model.Faults) node {
	if depth > deepest {
		f.Add("", fmt.Sprintf("is nested more than %d deep", deepest))
		return node{}
	}
	if want.Method != "" {
		for i, name := range q.table {
			if name == want.Method {
				q.accepts |= 1 << i
				return node{op: leaf, method: i, provider: want.Provider}
			}
		}
		f.Add("", want.Method+" is not configured")
		return node{}
	}
	n, list := node{op: anyOf}, want.AnyOf
	if len(want.AllOf) > 0 {
		n.op, list = allOf, want.AllOf
	}
	if len(list) == 0 {
		f.Add("", "names no method, so that nobody could pass")
	}
	for i := range list {
		n.children = append(n.children, q.compile(&list[i], depth+1, f))
	}
	if n.op == allOf {
		checkAll(n.children, f)
	}
	return n
}

// checkAll refuses an allOf that nobody can meet: a request carries one credential
// of a kind, and that is one provider's.
func checkAll(children []node, f *model.Faults) {
	for i, a := range children {
		for _, b := range children[:i] {
			if a.op == leaf && b.op == leaf && a.method == b.method && a.provider != b.provider {
				f.Add("", "allOf names one method at two providers; a request carries one credential of a kind")
			}
		}
	}
}

// Accepts says whether the requirement names method i of the table. Credentials
// of the others are neither looked at nor refused.
func (q *Requirement) Accepts(i int) bool { return q.accepts>>i&1 == 1 }

// Takes says whether the requirement accepts method i's proof, whose provider may be
// one that it does not.
func (q *Requirement) Takes(i int, p *Proof) bool { return q.root.takes(i, p) }

// Results are the findings of the methods that a route accepts, by their place in
// the table.
type Results struct{ at [MaxMethods]Result }

// Set notes the finding of method i.
func (r *Results) Set(i int, x Result) { r.at[i] = x }

// Causes of refusals, for audit and explain.
var (
	errProvider  = errors.New("the credential is good, but of a provider that the route does not accept")
	errPartly    = errors.New("some, but not all of the credentials that the route asks for together")
	errNothing   = errors.New("no credential that the route accepts")
	errTooMany   = errors.New("more credentials than can be judged together")
	errDifferent = errors.New("the credentials belong to different users")
	errNobody    = errors.New("a proof without a user")
)

var (
	refuseProvider  = Refusal(model.CredentialInvalid).WithCause(errProvider)
	refusePartly    = Refusal(model.CredentialMissing).WithCause(errPartly)
	refuseNothing   = Refusal(model.CredentialMissing).WithCause(errNothing)
	refuseTooMany   = Refusal(model.CredentialInvalid).WithCause(errTooMany)
	refuseDifferent = Refusal(model.CredentialInvalid).WithCause(errDifferent)
	refuseNobody    = Refusal(model.CredentialInvalid).WithCause(errNobody)
)

// Evaluate judges the results. It fills proofs with every proof that was
// presented, in the table's order, and answers how many there are; n is 0 and the
// code credential_missing where nothing was presented at all. A bad credential is
// told first, whatever else would satisfy: it must never fall through.
func (q *Requirement) Evaluate(r *Results, proofs []*Proof) (n int, err *model.Error) {
	for i := range r.at {
		if x := &r.at[i]; q.Accepts(i) && x.Outcome == Bad {
			// What is surely wrong counts before what cannot be checked.
			if x.Err.Code.Status() == 401 {
				return 0, x.Err
			}
			if err == nil {
				err = x.Err
			}
		}
	}
	if err != nil {
		return 0, err
	}
	for i := range r.at {
		x := &r.at[i]
		if !q.Accepts(i) || x.Outcome != Proven {
			continue
		}
		if !q.root.takes(i, x.Proof) {
			return 0, refuseProvider
		}
		if n == len(proofs) {
			return 0, refuseTooMany
		}
		proofs[n] = x.Proof
		n++
	}
	switch {
	case n == 0:
		return 0, refuseNothing
	case !q.root.met(r):
		return n, refusePartly
	}
	return n, nil
}

// takes says whether any leaf accepts the proof of method i.
func (n *node) takes(i int, p *Proof) bool {
	if n.op == leaf {
		return n.method == i && (n.provider == "" || n.provider == p.Provider)
	}
	for j := range n.children {
		if n.children[j].takes(i, p) {
			return true
		}
	}
	return false
}

func (n *node) met(r *Results) bool {
	if n.op == leaf {
		x := &r.at[n.method]
		return x.Outcome == Proven && n.takes(n.method, x.Proof)
	}
	for j := range n.children {
		if n.children[j].met(r) != (n.op == allOf) {
			return n.op == anyOf
		}
	}
	return n.op == allOf
}

// SameUser answers whose proofs these are, once each has its user. All must be of
// one user, except that where an allOf asks for all of them an application may
// accompany a person: then client is the application's proof. Of several proofs
// of one user, one that narrows its rights counts before one that does not.
func (q *Requirement) SameUser(proofs []*Proof) (user, client *Proof, err *model.Error) {
	for _, p := range proofs {
		if p == nil || p.Principal == nil {
			return nil, nil, refuseNobody
		}
		switch {
		case user == nil || same(user, p):
			user = prefer(user, p)
		case client == nil || same(client, p):
			client = prefer(client, p)
		default:
			return nil, nil, refuseDifferent
		}
	}
	if user == nil {
		return nil, nil, refuseNobody
	}
	if client == nil {
		return user, nil, nil
	}
	if user.Principal.User.Kind == model.Application {
		user, client = client, user
	}
	if user.Principal.User.Kind != model.Person || client.Principal.User.Kind != model.Application || !q.together(proofs) {
		return nil, nil, refuseDifferent
	}
	return user, client, nil
}

func same(a, b *Proof) bool {
	return a.Principal == b.Principal || a.Principal.User.ID != "" && a.Principal.User.ID == b.Principal.User.ID
}

func prefer(have, p *Proof) *Proof {
	if have == nil || p.Narrow && !have.Narrow {
		return p
	}
	return have
}

// together says whether one allOf asks for all of these proofs.
func (q *Requirement) together(proofs []*Proof) bool {
	var r Results
	for _, p := range proofs {
		for i, name := range q.table {
			if name == p.Method {
				r.Set(i, Result{Outcome: Proven, Proof: p})
			}
		}
	}
	return q.root.together(&r, len(proofs))
}

func (n *node) together(r *Results, want int) bool {
	if n.op == allOf && n.met(r) {
		have := 0
		for i := range r.at {
			if p := r.at[i].Proof; p != nil && n.takes(i, p) {
				have++
			}
		}
		if have == want {
			return true
		}
	}
	for j := range n.children {
		if n.children[j].together(r, want) {
			return true
		}
	}
	return false
}
