// Package record writes each request down: its decision before anything is
// forwarded, its completion afterwards, and the security events that it gave
// rise to; and it counts them.
//
// It decides nothing. The gate calls it as its Recorder, and the doors when a
// request is complete. Segments belong to audit, counters to metrics.
package record
