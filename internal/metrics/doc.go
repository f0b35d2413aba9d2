// Package metrics counts what the gateway does, in Prometheus form: requests by
// route, step and code, the gateway's own time apart from its targets', caches,
// identity providers and targets, and the revision served.
//
// It owns a registry of its own and knows no other room: whoever counts hands in
// plain strings, and whatever has a state is asked for it at a scrape. Users,
// paths, addresses and everything else that a caller chooses are never labels,
// so that no caller can make series without end.
//
// The doors and the recorder call Observe; the metrics listener serves Handler.
package metrics
