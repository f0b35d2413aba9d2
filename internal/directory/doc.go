// Package directory is the read side of provisioning: it answers who is behind a
// credential, from a bounded cache in front of a Source, and forgets at once
// what a change invalidates.
//
// Its loads are single-flight and bounded, nobody is remembered briefly, and what
// a load read before a change is never kept after it. Recent and Prime carry the
// users in use over a start without the store.
//
// It does not verify secrets (gate/authn does) and writes nothing (provision
// does). The gate's authentication methods and resolve step call it.
package directory
