// Package upstream is the way out: it holds the connections to the targets of
// every service, chooses among them, watches their health, and sends a request to
// one of them, once, or again where that is safe.
//
// It owns pools, balancing, name resolution, health, retries and the time limits
// of the way out. It does not know who called, changes no header but what framing
// needs, and writes no answer to a client: the doors call Forward and do that.
// What speaks HTTP to a target stands behind carrier and can be replaced.
package upstream
