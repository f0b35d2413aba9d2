// Package snapshot holds the compiled configuration that is being served, behind
// one atomic pointer, and keeps the last good one on disk, so that a node can
// start and serve without its store.
//
// The file holds a whole model.Set and, where asked, the users that the node
// served of late (see directory.Prime). It holds secrets, and is therefore
// encrypted with a key of its own in keys/snapshot.key beside it: a copy of the
// file alone gives nothing away. What is truncated, edited, of another key or of
// a newer format is refused, never half believed.
//
// It compiles nothing and decides nothing about age: app does.
package snapshot
