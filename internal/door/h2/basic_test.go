package h2

import (
	"strings"
	"testing"
)

func TestARequestPassesAndIsRecorded(t *testing.T) {
	b := newBackend(t, echo)
	g := start(t, b.URL, true)
	res, err := g.client().Post(g.url("/orders/7%20x?a=b&c"), "text/plain", strings.NewReader("hello"))
	status, body := read(t, res, err)
	if status != 200 || !strings.HasPrefix(body, "POST /orders/7%20x?a=b&c 127.0.0.1:") || !strings.HasSuffix(body, " hello") {
		t.Errorf("%d %s", status, body)
	}
	id := res.Header.Get("X-Request-Id")
	if res.ProtoMajor != 2 || len(id) != 32 || b.last().Header.Get("X-Request-Id") != id {
		t.Errorf("%s, id %q", res.Proto, id)
	}
	c := g.completion()
	if c.Status != 200 || c.BytesIn != 5 || c.BytesOut != int64(len(body)) || c.Target <= 0 || c.Duration < c.Target || c.Err != nil {
		t.Errorf("%+v", c)
	}
}

func TestRawGet(t *testing.T) {
	b := newBackend(t, echo)
	g := start(t, b.URL, false)
	c := g.dial()
	for i := range uint32(20) {
		c.good(2*i + 1)
	}
}
