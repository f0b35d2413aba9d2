// Package gate is the decision engine: the facts of a request and one plan go
// in, a decision comes out. gate.go lists the steps in their order; exchange.go
// is the typed state of one request; plan.go is the compiled configuration.
//
// It opens no sockets, imports no net/http and writes nothing to the wire. Every
// door, explain and the policy tests call Decide and nothing else.
package gate
