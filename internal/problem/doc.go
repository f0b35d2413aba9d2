// Package problem turns an error into the answer that a client sees: an RFC 9457
// problem document, or a plain page for a browser that navigates, with the fields
// that go with it (Proxy-Status, challenges, Retry-After, Allow). It is the only
// writer of error bodies in the gateway. Clients of gRPC read the status of HTTP.
//
// It decides nothing: which error, and which challenges a route has, the caller
// knows. It publishes the error's message and faults, never its cause, and
// nothing of the request. Doors and faces call it.
package problem
