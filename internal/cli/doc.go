// Package cli is the command line: its grammar, its output, and the verbs that
// are clients of the admin REST API. Tables are for people and JSON and YAML for
// programs, both on standard output; what went wrong and how to mend it is on
// standard error. Exit codes: 0 done, 1 refused or failed, 2 usage.
//
// It serves nothing itself: run, demo and the whole of check are hooks that the
// composition root hands in. Its client verbs know the REST API alone, never the
// store. cmd/sallyport calls Main.
package cli
