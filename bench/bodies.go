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
	g, s, n, h, err := l.field(ctx)
	if err != nil {
		return nil, err
	}
	post := ""
	if b.up > 0 {
		if post, err = l.lua("post.lua", postLua); err != nil {
			return nil, err
		}
	}
	at := func(address string) work {
		w := work{url: "http://" + address + b.path, conns: b.conns, bytes: b.down, upload: b.up}
		if b.up > 0 {
			w.script, w.args = post, []string{strconv.Itoa(b.up)}
		}
		return w
	}
	across := h.Plain
	if b.up > 0 {
		across = h.Upload
	}
	r.Beside = "nginx, the same body"
	return []*result{r}, l.interleave(ctx, r, []contestant{requests(base, n.process, at(n.Plain)), requests(own, g.process, at(g.plain)),
		requests(standard, s.process, at(s.plain)), requests(haproxy, h.process, at(across))})
}

func basicHeader(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
