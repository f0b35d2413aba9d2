// Package problem turns an error into the answer that a client sees: an RFC 9457
// problem document, a plain page for a browser that navigates, or gRPC's
// trailers, with the fields that go with it (Proxy-Status, challenges,
// Retry-After, Allow). It is the only writer of error bodies in the gateway.
//
// It decides nothing: which error, and which challenges a route has, the caller
// knows. It publishes the error's message and faults, never its cause, and
// nothing of the request. Doors and faces call it.
package problem
