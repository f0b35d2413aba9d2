//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// echoSocket is a WebSocket server that sends back what it gets.
func echoSocket(t testing.TB) *backend {
	var b *backend
	b = newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		b.note(r)
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"parrot"},
			CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(8 << 20)
		for {
			kind, m, err := c.Read(context.Background())
			if err != nil {
				return
			}
			if string(m) == "close" {
				_ = c.Close(4321, "as you wish")
				return
			}
			if err := c.Write(context.Background(), kind, m); err != nil {
				return
			}
		}
	})
	return b
}

const sockets = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: echo, targets: [{url: "BACKEND"}]}]
roles: [{name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}, {name: nothing, permissions: []}]
users:
  - {username: alice, roles: [writer], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [nothing], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: socket, paths: [/socket], service: echo, cors: {origins: ["https://app.example.com"]}}
`

func (g *gateway) dial(t testing.TB, path string, h http.Header, o websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	o.HTTPHeader = h
	c := *g.client
	c.Timeout = 0 // it would end the socket, too
	o.HTTPClient = &c
	conn, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(g.url(path), "http"), &o)
	if err == nil {
		conn.SetReadLimit(8 << 20)
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, res, err
}

func basicHeader(name string) http.Header {
	r := &http.Request{Header: http.Header{}}
	user(name)(r)
	return r.Header
}

func TestAWebSocketPassesBothWays(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := echoSocket(t)
		g := start(t, options{engine: engine, resources: withBackend(sockets, b.URL)})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover} {
			c, res, err := g.dial(t, "/socket?room=1", basicHeader("alice"), websocket.DialOptions{Subprotocols: []string{"parrot"}, CompressionMode: mode})
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 101 || c.Subprotocol() != "parrot" || res.Header.Get("X-Request-Id") == "" {
				t.Errorf("handshake: %d %q %v", res.StatusCode, c.Subprotocol(), res.Header)
			}
			for _, m := range [][]byte{[]byte("hello"), {}, bytes.Repeat([]byte("Sally "), 300_000), []byte("ünïcode")} {
				kind := websocket.MessageText
				if len(m) > 1000 {
					kind = websocket.MessageBinary
				}
				if err := c.Write(ctx, kind, m); err != nil {
					t.Fatal(err)
				}
				k, back, err := c.Read(ctx)
				if err != nil || k != kind || !bytes.Equal(back, m) {
					t.Fatalf("sent %d bytes, got %d back: %v", len(m), len(back), err)
				}
			}
			go func() { _, _, _ = c.Read(ctx) }() // pongs are read by a reader
			if err := c.Ping(ctx); err != nil {
				t.Errorf("ping: %v", err)
			}
			_ = c.CloseNow()
		}
		s := b.last(t)
		if s.Header.Get("X-User") != "alice" || s.Header.Get("Authorization") != "" || s.URI != "/socket?room=1" || s.Header.Get("X-Sallyport-Assertion") == "" {
			t.Errorf("the backend saw %+v", s)
		}
		c, _, err := g.dial(t, "/socket", basicHeader("alice"), websocket.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Write(ctx, websocket.MessageText, []byte("close")); err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Read(ctx)
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 4321 || closed.Reason != "as you wish" {
			t.Errorf("the backend's close came as %v", err)
		}
	})
}

func TestAWebSocketIsRefusedBeforeTheBackendHearsOfIt(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := echoSocket(t)
		g := start(t, options{engine: engine, resources: withBackend(sockets, b.URL)})
		with := func(h http.Header, pairs ...string) http.Header {
			h = h.Clone()
			if h == nil {
				h = http.Header{}
			}
			for i := 0; i < len(pairs); i += 2 {
				h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
			}
			return h
		}
		for _, c := range []struct {
			name   string
			header http.Header
			status int
			code   string
		}{
			{"nobody", nil, 401, "credential_missing"},
			{"a wrong password", http.Header{"Authorization": {"Basic YWxpY2U6d3Jvbmc="}}, 401, "credential_invalid"},
			{"one who may not", basicHeader("bob"), 403, "permission_denied"},
			{"a page of another origin", with(basicHeader("alice"), "Origin", "https://evil.example"), 403, "origin_refused"},
			{"a page without origin", with(basicHeader("alice"), "Origin", "null"), 403, "origin_refused"},
			{"a page of another site, by its cookie", with(basicHeader("alice"), "Origin", "https://app.example.com.evil.example", "Cookie", "a=b"), 403, "origin_refused"},
			{"another path", basicHeader("alice"), 404, "route_not_found"},
		} {
			path := "/socket"
			if c.status == 404 {
				path = "/elsewhere"
			}
			_, res, err := g.dial(t, path, c.header, websocket.DialOptions{})
			if err == nil || res == nil {
				t.Errorf("%s: the handshake gave %v", c.name, err)
				continue
			}
			a := &answer{status: res.StatusCode, header: res.Header, body: readAll(t, res.Body)}
			a.expect(t, c.name, c.status, c.code)
		}
		if n := len(b.saw()); n != 0 {
			t.Errorf("the backend saw %d handshakes", n)
		}
		// Origins are still looked at where the CSRF check is switched off: CORS does not hold WebSockets back.
		g.must(t, 200, "PUT", "/v2/config/reverseProxyAuthentication", `{"enabled":true,"csrfProtectionDisabled":true}`)
		if _, res, err := g.dial(t, "/socket", with(basicHeader("alice"), "Origin", "https://evil.example"), websocket.DialOptions{}); err == nil || res == nil || res.StatusCode != 403 {
			t.Errorf("csrfProtectionDisabled lets foreign origins in: %v", err)
		}
		for _, origin := range []string{"https://app.example.com", "https://" + g.proxy} {
			if _, _, err := g.dial(t, "/socket", with(basicHeader("alice"), "Origin", origin), websocket.DialOptions{}); err != nil {
				t.Errorf("origin %s is allowed: %v", origin, err)
			}
		}
	})
}

func TestAnUpgradeToAnythingElseDoesNotPass(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for _, c := range []struct{ upgrade, extra string }{
			{"h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"},
			{"h2c, websocket", ""}, {"TLS/1.0", ""}, {"websocket2", ""}, {"connect-udp", ""},
		} {
			b.forget()
			conn := g.wire(t)
			conn.send("GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: " + basicHeader("alice").Get("Authorization") +
				"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + c.upgrade + "\r\n" + c.extra + "\r\n")
			res := conn.answer(t, "GET")
			if res.status == 101 {
				t.Errorf("Upgrade: %s was switched to", c.upgrade)
			}
			for _, s := range b.saw() {
				if s.Header.Get("Upgrade") != "" || s.Header.Get("Http2-Settings") != "" || strings.Contains(strings.ToLower(s.Header.Get("Connection")), "upgrade") {
					t.Errorf("Upgrade: %s reached the backend: %v", c.upgrade, s.Header)
				}
			}
			conn.Close()
		}
	})
}

func TestADeactivatedUsersSocketIsCut(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := echoSocket(t)
		g := start(t, options{engine: engine, resources: withBackend(sockets, b.URL)})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c, _, err := g.dial(t, "/socket", basicHeader("alice"), websocket.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Write(ctx, websocket.MessageText, []byte("still there")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(ctx); err != nil {
			t.Fatal(err)
		}
		g.must(t, 200, "PATCH", "/v2/users/alice", `{"active":false}`)
		begin := time.Now()
		if _, m, err := c.Read(ctx); err == nil {
			t.Errorf("a message after the deactivation: %q", m)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the socket was cut %v after the acknowledgement", took)
		}
	})
}
