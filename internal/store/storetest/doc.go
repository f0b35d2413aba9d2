// Package storetest is the one suite that every store passes: what a Store
// promises, said as tests. Run holds a store to its interface, Crash to what it
// has acknowledged when its process is killed.
//
// It knows no particular store and is imported by their tests alone.
package storetest
