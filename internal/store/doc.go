// Package store declares the narrow interfaces behind which the truth is kept:
// configuration objects, users with their credentials, administrators and
// revisions. Implementations live in its folders and pass storetest.Run.
//
// It holds no rules: what may be written is provision's to decide, and only
// provision writes. The directory and the last-good snapshot read.
package store
