package main

import (
	"context"
	"encoding/base64"
	"strconv"
)

// body is a row of large bodies, one way or the other.
type body struct {
	id, title string
	path      string
	down, up  int // bytes
	conns     int
}

var bodies = []body{
	{id: "down64k", title: "answer of 64 KiB", path: "/public/64k", down: 64 << 10, conns: 16},
	{id: "down10m", title: "answer of 10 MiB", path: "/public/10m", down: 10 << 20, conns: 4},
	{id: "up64k", title: "body of 64 KiB sent", path: "/upload/64k", up: 64 << 10, conns: 16},
	{id: "up10m", title: "body of 10 MiB sent", path: "/upload/10m", up: 10 << 20, conns: 4},
}

func (b body) measure(ctx context.Context, l *lab, r *result) ([]*result, error) {
	n, h, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	w, across := work{conns: b.conns, bytes: b.down, upload: b.up}, h.Plain
	if b.up > 0 {
		across, w.args = h.Upload, []string{strconv.Itoa(b.up)}
		if w.script, err = l.lua("post.lua", postLua); err != nil {
			return nil, err
		}
	}
	at := func(address string) work {
		w := w
		w.url = "http://" + address + b.path
		return w
	}
	list, err := l.builds(ctx, func(g *gateway) work { return at(g.plain) })
	if err != nil {
		return nil, err
	}
	r.Beside = "nginx, the same body"
	list = append([]contestant{requests(base, n.process, at(n.Plain))}, append(list, requests(haproxy, h.process, at(across)))...)
	return []*result{r}, l.interleave(ctx, r, list)
}

func basicHeader(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
