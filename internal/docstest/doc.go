// Package docstest holds the documents to the code: links lead somewhere, examples
// of configuration are read by the code that reads them in earnest, commands and
// paths exist, every field has a row, and what is made from the code is current.
// "go test ./internal/docstest -update" makes the latter anew.
//
// It has no code of its own; the commands of the walk-through are run by test/e2e.
package docstest
