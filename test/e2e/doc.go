// Package e2e runs the built gateway in front of real programs: curl, nginx,
// json-server, oidc-provider, SimpleSAMLphp, h2spec, gRPC and WebSocket libraries, each on a free port of
// the loopback interface and in a temporary folder.
//
// What counts is what the backend saw: a proxy can answer 400 after it has
// forwarded. The tests therefore read the backend's own log, byte for byte where
// that matters. They know the gateway only from outside: its command line, its
// admin API, its wire and its audit segments.
//
// They are built with the tag e2e and run by make e2e. Nothing is skipped: where a
// program is missing, the test fails with the sentence what to install.
//
//	SALLYPORT_BIN           the binary, bin/sallyport by default
//	SALLYPORT_E2E_ENGINES   own,standard: which engines of HTTP/1.1 are tested
package e2e
