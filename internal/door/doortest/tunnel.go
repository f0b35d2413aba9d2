package doortest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

// echo is a WebSocket server that sends back what it gets.
func echo(t *testing.T) *targettest.Backend {
	return targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			fmt.Fprint(w, "plain")
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, b); err != nil {
				return
			}
		}
	})
}

func (g *Rig) websocket(path string, h http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, res, err := websocket.Dial(ctx, strings.Replace(g.URL(path), "http", "ws", 1), &websocket.DialOptions{HTTPClient: g.client(false), HTTPHeader: h})
	if err == nil {
		g.T.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, res, err
}

func webSockets(t *testing.T, d Door) {
	for _, d.Secure = range []bool{false, true} {
		b := echo(t)
		g := d.start(t, b.URL)
		// Warpgate CVE-2026-63329: identity was stripped on requests and not on handshakes.
		c, res, err := g.websocket("/ws", http.Header{"X-User": {"mallory"}, "X_user": {"mallory"}, "Origin": {"http://" + g.Host}})
		if err != nil {
			t.Fatal(err)
		}
		if res.Header.Get("X-Request-Id") == "" {
			t.Error("no request id")
		}
		for name := range b.Last().Header {
			if model.Fold(name) == "xuser" {
				t.Errorf("%s arrived", name)
			}
		}
		ctx := context.Background()
		for i := range 100 {
			msg := strings.Repeat(fmt.Sprint(i%10), 100*i)
			if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(1 << 20)
			if _, got, err := c.Read(ctx); err != nil || string(got) != msg {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
		if n := g.Streams.Open(); n != 1 && !d.Own { // whose drain knows its connections
			t.Errorf("%d streams are known to the drain", n)
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
		comp := g.Completion()
		if comp.Status != 101 || comp.BytesIn < 495_000 || comp.BytesOut < 495_000 {
			t.Errorf("%+v", comp)
		}
		if n := g.Pools.Status()[0].InFlight; n != 0 {
			t.Errorf("%d in flight", n)
		}
	}
}

func webSocketEnds(t *testing.T, d Door) {
	b := echo(t)
	g := d.start(t, b.URL)
	g.User = Principal("alice")
	for _, how := range []string{"cut", "expired"} {
		if how == "expired" {
			g.Expires = time.Now().Add(300 * time.Millisecond)
		}
		c, _, err := g.websocket("/", nil)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if how == "cut" && g.Streams.CutUser("id-alice") != 1 {
			t.Error("nothing was cut")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if _, _, err := c.Read(ctx); err == nil || time.Since(begun) > time.Second {
			t.Errorf("%s: %v after %v", how, err, time.Since(begun))
		}
		cancel()
		if comp := g.Completion(); comp.Status != 101 || !strings.Contains(comp.Detail, "cut") {
			t.Errorf("%s: %+v", how, comp)
		}
	}
}

func drainEndsTunnels(t *testing.T, d Door) {
	b := echo(t)
	g := d.start(t, b.URL)
	c, _, err := g.websocket("/", nil)
	if err != nil {
		t.Fatal(err)
	}
	patience := 2 * time.Second
	if d.Own { // which cuts what its drain leaves over
		patience = 300 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- g.Drain(ctx) }()
	time.Sleep(50 * time.Millisecond)
	if err := c.Write(context.Background(), websocket.MessageText, []byte("still here")); err != nil {
		t.Error(err)
	}
	if !d.Own && g.Streams.CutAll() != 1 {
		t.Error("the tunnel is not known")
	}
	if _, _, err := c.Read(context.Background()); err == nil {
		_, _, err = c.Read(context.Background())
		if err == nil {
			t.Error("it lives on")
		}
	}
	if err := <-drained; (err != nil) != d.Own {
		t.Error(err)
	}
}

func realSwitch(t *testing.T, d Door) {
	b := echo(t)
	g := d.start(t, b.URL)
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for name, c := range map[string]struct{ head, want string }{
		"a version that the backend refuses": {"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 9\r\n" + key, "400"},
		"no Connection":                      {"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + key, "426"},
		"two protocols":                      {"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Version: 13\r\n" + key, "426"},
		"h2c alone":                          {"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n", "426"},
		"a body":                             {"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 1\r\n" + key, "426"},
	} {
		conn := g.Dial("http/1.1")
		fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: x\r\n%s\r\nx", c.head)
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		Read(t, res, nil)
		if got := fmt.Sprint(res.StatusCode); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if name != "a body" {
			if v := b.Last().Header.Get("Http2-Settings"); v != "" {
				t.Errorf("%s: the backend saw HTTP2-Settings", name)
			}
		}
		if len(b.Last().Header["Upgrade"]) > 0 && c.want == "426" {
			t.Errorf("%s: the backend saw Upgrade", name)
		}
	}
}

func behindTheHandshake(t *testing.T, d Door) {
	url := targettest.Raw(t, func(c net.Conn, r *bufio.Reader, head string) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello ")
		_, _ = io.Copy(c, r)
		_ = c.Close()
	})
	g := d.start(t, url)
	c := g.Dial("http/1.1")
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nearly ")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	_, _ = io.WriteString(c, "late")
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	if b, err := io.ReadAll(r); string(b) != "hello early late" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
