// Package h2test is a client that speaks HTTP/2 frame by frame, well or badly, and
// the cases by which a server is held to RFC 9113 and RFC 7541: those that h2spec
// asks in its strict mode, by the same sections, and more.
//
// Tests of the door run them against the engine alone, and the end-to-end tests
// against the gateway. It owns no server.
package h2test
