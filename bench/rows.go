package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// The sections of the report, in its order.
const (
	sectionCPU     = "CPU time of the proxy for each request"
	sectionShake   = "CPU time of the proxy for each connection"
	sectionSize    = "The gateway beside itself"
	sectionMemory  = "Memory of an idle connection"
	sectionLatency = "Latency"
	sectionStart   = "Starting and importing"
	sectionDecide  = "The decision alone"
)

var sections = []string{sectionCPU, sectionShake, sectionSize, sectionMemory, sectionLatency, sectionStart, sectionDecide}

// row is one thing to measure; it may give several results.
type row struct {
	id      string
	measure func(ctx context.Context, l *lab, r *result) ([]*result, error)
	result
}

// rows are all there are. What SPEC 17 lists and does not exist yet (limits, external
// authorisation) has none.
func rows() []row {
	list := []row{
		{id: "public", measure: public, result: result{Section: sectionCPU, Title: "public route", Asked: &bound{Factor: 1, Of: base}}},
		{id: "apiKey", measure: apiKey, result: result{Section: sectionCPU, Title: "API key → user, authorised", Asked: &bound{Factor: 1.1, Of: base}}},
		{id: "rs256", measure: token("RS256"), result: result{Section: sectionCPU, Title: "JWT, RS256", Asked: &bound{Factor: 1.15, Of: base}}},
		{id: "es256", measure: token("ES256"), result: result{Section: sectionCPU, Title: "JWT, ES256", Asked: &bound{Factor: 1.15, Of: base}}},
		{id: "basic", measure: basic, result: result{Section: sectionCPU, Title: "Basic, bcrypt cost 10, same user again", Asked: &bound{Factor: 1.15, Of: base}}},
		{id: "session", measure: session, result: result{Section: sectionCPU, Title: "session cookie", Asked: &bound{Factor: 1.2, Of: base}}},
		{id: "tls", measure: overTLS, result: result{Section: sectionCPU, Title: "public route, TLS 1.3", Asked: &bound{Factor: 0.95, Of: "peers"}}},
		{id: "http2", measure: overHTTP2, result: result{Section: sectionCPU, Title: "public route, HTTP/2 over TLS 1.3", Asked: &bound{Factor: 2, Of: haproxy}}},
	}
	for _, b := range bodies {
		list = append(list, row{id: b.id, measure: b.measure, result: result{Section: sectionCPU, Title: b.title}})
	}
	list = append(list, connectionRows()...)
	list = append(list, sizeRows()...)
	list = append(list, idleRows()...)
	list = append(list, latencyRows()...)
	list = append(list, startRows()...)
	for i := range list {
		list[i].ID = list[i].id
	}
	return list
}

const besideProxyPass = "nginx `proxy_pass`"

// yardstick is nginx passing a public request on, the measure of the other rows.
func yardstick(n *peer, l *lab) contestant {
	return requests(base, n.process, work{url: "http://" + n.Plain + "/public/orders/42", conns: l.o.conns})
}

// builds are the gateways that most rows compare, each doing the work that at says.
func (l *lab) builds(ctx context.Context, at func(*gateway) work) (list []contestant, err error) {
	all, err := l.gateways(ctx)
	for _, g := range all {
		list = append(list, requests(g.who, g.process, at(g)))
	}
	return list, err
}

// contest measures the yardstick, the gateways and the peers at one kind of work.
func (l *lab) contest(ctx context.Context, r *result, at func(*gateway) work, peers func(n, h *peer) []contestant) ([]*result, error) {
	n, h, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := l.builds(ctx, at)
	if err != nil {
		return nil, err
	}
	r.Beside = besideProxyPass
	return []*result{r}, l.interleave(ctx, r, slices.Concat([]contestant{yardstick(n, l)}, ours, peers(n, h)))
}

func public(ctx context.Context, l *lab, r *result) ([]*result, error) {
	at := func(address string) work {
		return work{url: "http://" + address + "/public/orders/42", conns: l.o.conns}
	}
	r.Note = "nginx here is the yardstick measured a second time in each round: the noise"
	return l.contest(ctx, r, func(g *gateway) work { return at(g.plain) }, func(n, h *peer) []contestant {
		return []contestant{requests(nginx, n.process, at(n.Plain)), requests(haproxy, h.process, at(h.Plain))}
	})
}

func apiKey(ctx context.Context, l *lab, r *result) ([]*result, error) {
	files, err := l.gatewayFiles(ctx, fewUsers, fewRoutes)
	if err != nil {
		return nil, err
	}
	key := files.keys[len(files.keys)/2]
	wrong := key[:len(key)-1] + string('0'+(key[len(key)-1]+1-'0')%10)
	at := func(address string) work {
		return work{url: "http://" + address + "/key/orders/42", conns: l.o.conns, header: []string{"X-API-Key: " + key}, refused: []string{"X-API-Key: " + wrong}}
	}
	return l.contest(ctx, r, func(g *gateway) work { return at(g.plain) }, func(n, h *peer) []contestant {
		return []contestant{requests(nginx, n.process, at(n.Keyed)), requests(haproxy, h.process, at(h.Keyed))}
	})
}

func token(alg string) func(context.Context, *lab, *result) ([]*result, error) {
	return func(ctx context.Context, l *lab, r *result) ([]*result, error) {
		r.Note = "nginx of Debian knows no JWT"
		at := func(address string) work {
			return work{url: "http://" + address + "/token/orders/42", conns: l.o.conns, header: []string{"Authorization: Bearer " + l.cred.token[alg]},
				refused: []string{"Authorization: Bearer " + l.cred.forged[alg]}}
		}
		return l.contest(ctx, r, func(g *gateway) work { return at(g.plain) }, func(_, h *peer) []contestant {
			return []contestant{requests(haproxy, h.process, at(h.JWT))}
		})
	}
}

func basic(ctx context.Context, l *lab, r *result) ([]*result, error) {
	at := func(address string, conns int) work {
		return work{url: "http://" + address + "/basic/orders/42", conns: conns, header: []string{basicHeader(l.cred.user, l.cred.password)},
			refused: []string{basicHeader(l.cred.user, "wrong")}}
	}
	return l.contest(ctx, r, func(g *gateway) work { return at(g.plain, l.o.conns) }, func(n, h *peer) []contestant {
		// The peers hash at each request: few connections, or none is ever answered.
		return []contestant{requests(nginx, n.process, at(n.Basic, 4)), requests(haproxy, h.process, at(h.Basic, 4))}
	})
}

func overTLS(ctx context.Context, l *lab, r *result) ([]*result, error) {
	at := func(address string) work {
		return work{url: "https://" + address + "/public/orders/42", conns: l.o.conns}
	}
	return l.contest(ctx, r, func(g *gateway) work { return at(g.tls) }, func(n, h *peer) []contestant {
		return []contestant{requests(nginx, n.process, at(n.TLS)), requests(haproxy, h.process, at(h.TLS))}
	})
}

func overHTTP2(ctx context.Context, l *lab, r *result) ([]*result, error) {
	r.Note = "4 connections of 16 streams each"
	at := func(address string) work {
		return work{url: "https://" + address + "/public/orders/42", conns: 4, streams: 16}
	}
	return l.contest(ctx, r, func(g *gateway) work { return at(g.tls) }, func(n, h *peer) []contestant {
		return []contestant{requests(nginx, n.process, at(n.H2)), requests(haproxy, h.process, at(h.H2))}
	})
}

// sizeRows compare the gateway with itself: more routes, more users.
func sizeRows() []row {
	return []row{
		{id: "routes", measure: manyRoutes(false), result: result{Section: sectionSize, Title: "10,000 routes instead of 10, one asked for", Asked: &bound{Factor: 1.1, Of: base}}},
		{id: "routesInTurn", measure: manyRoutes(true), result: result{Section: sectionSize, Title: "10,000 routes instead of 10, each asked for in turn"}},
		{id: "users", measure: manyUsers(fewUsers), result: result{Section: sectionSize, Title: "many users instead of 100, 100 calling in turn", Asked: &bound{Factor: 1.2, Of: base}}},
		{id: "callers", measure: manyUsers(callers), result: result{Section: sectionSize, Title: "the same, 10,000 calling in turn"}},
		{id: "audit", measure: audit, result: result{Section: sectionSize, Title: "public route, with the audit of every request", Asked: &bound{Factor: 1.1, Of: base}}},
	}
}

func shuffled(list []string) []string {
	out := append([]string(nil), list...)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// callersInTurn asks for one resource as each of several callers, in no order.
func callersInTurn(keys []string) []string {
	out := make([]string, len(keys))
	for i := range out {
		out[i] = "/key/orders/42\t" + keys[i]
	}
	return shuffled(out)
}

// asking is a contestant that is sent a list of requests, in turn.
func (l *lab) asking(who, name string, g *gateway, list []string) (contestant, error) {
	script, args, err := l.rotate(name, "X-API-Key", list)
	path, key, _ := strings.Cut(list[0], "\t")
	return requests(who, g.process, work{url: "http://" + g.plain + path, conns: l.o.conns, script: script, args: args, least: len(list),
		header: []string{"X-API-Key: " + key}, refused: []string{"X-API-Key: sp_wrong"}}), err
}

// manyRoutesBeside the routes of single rows make 10,000.
const manyRoutesBeside = 9_995

func manyRoutes(inTurn bool) func(context.Context, *lab, *result) ([]*result, error) {
	return func(ctx context.Context, l *lab, r *result) ([]*result, error) {
		few, err := l.gateway(ctx)
		if err != nil {
			return nil, err
		}
		many, err := l.startGateway(ctx, "routes", l.bin, "own", fewUsers, manyRoutesBeside)
		if err != nil {
			return nil, err
		}
		defer many.stop()
		asked := func(g *gateway) []string {
			if !inTurn {
				return routesInTurn(g)[:1]
			}
			return routesInTurn(g)
		}
		a, err := l.asking(base, "routes-few", few, asked(few))
		if err != nil {
			return nil, err
		}
		b, err := l.asking(own, "routes-many", many, asked(many))
		if err != nil {
			return nil, err
		}
		r.Beside = "itself with 10 routes"
		return []*result{r}, l.interleave(ctx, r, []contestant{a, b})
	}
}

func manyUsers(calling int) func(context.Context, *lab, *result) ([]*result, error) {
	return func(ctx context.Context, l *lab, r *result) ([]*result, error) {
		few, err := l.gateway(ctx)
		if err != nil {
			return nil, err
		}
		many, err := l.startGateway(ctx, "users", l.bin, "own", l.o.users, fewRoutes)
		if err != nil {
			return nil, err
		}
		defer many.stop()
		spread := max(1, len(many.keys)/calling)
		var keys []string
		for i := 0; i < len(many.keys) && len(keys) < calling; i += spread {
			keys = append(keys, many.keys[i])
		}
		a, err := l.asking(base, "users-few", few, callersInTurn(few.keys[:fewUsers]))
		if err != nil {
			return nil, err
		}
		b, err := l.asking(own, "users-many", many, callersInTurn(keys))
		if err != nil {
			return nil, err
		}
		r.Title = fmt.Sprintf("%d users instead of %d, %d of them calling in turn instead of %d", l.o.users, fewUsers, len(keys), fewUsers)
		r.Beside = fmt.Sprintf("itself with %d users", fewUsers)
		return []*result{r}, l.interleave(ctx, r, []contestant{a, b})
	}
}

// audit compares the gateway with one that keeps no audit of requests. Both are the
// gateway within this program: the product has no switch for it.
func audit(ctx context.Context, l *lab, r *result) ([]*result, error) {
	r.Beside = "itself without"
	var list []contestant
	for _, c := range []struct {
		who, name string
		with      []string
	}{{base, "unrecorded", []string{l.self, "serve", "-unrecorded"}}, {own, "recorded", []string{l.self, "serve"}}} {
		g, err := l.startGateway(ctx, c.name, l.bin, "own", fewUsers, fewRoutes, c.with...)
		if err != nil {
			return nil, err
		}
		defer g.stop()
		list = append(list, requests(c.who, g.process, work{url: "http://" + g.plain + "/public/orders/42", conns: l.o.conns}))
	}
	return []*result{r}, l.interleave(ctx, r, list)
}
