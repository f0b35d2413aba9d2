package standard

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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/sallyport/sallyport/internal/model"
)

// echo is a WebSocket server that sends back what it gets.
func echo(t *testing.T) *backend {
	return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
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

func (g *rig) websocket(path string, h http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, res, err := websocket.Dial(ctx, strings.Replace(g.url(path), "http", "ws", 1), &websocket.DialOptions{HTTPClient: g.client(false), HTTPHeader: h})
	if err == nil {
		g.t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, res, err
}

func TestWebSocketsPassAndAreRecorded(t *testing.T) {
	for _, secure := range []bool{false, true} {
		b := echo(t)
		g := start(t, b.URL, secure)
		// Warpgate CVE-2026-63329: identity was stripped on requests and not on handshakes.
		c, res, err := g.websocket("/ws", http.Header{"X-User": {"mallory"}, "X_user": {"mallory"}, "Origin": {"http://" + g.host}})
		if err != nil {
			t.Fatal(err)
		}
		if res.Header.Get("X-Request-Id") == "" {
			t.Error("no request id")
		}
		for name := range b.last().Header {
			if model.Fold(name) == "xuser" {
				t.Errorf("%s arrived", name)
			}
		}
		ctx := context.Background()
		for i := range 10 {
			msg := strings.Repeat(fmt.Sprint(i), 1000*i+1)
			if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(1 << 20)
			if _, got, err := c.Read(ctx); err != nil || string(got) != msg {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
		if n := g.streams.Open(); n != 1 {
			t.Errorf("%d streams are known to the drain", n)
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
		comp := g.completion()
		if comp.Status != 101 || comp.BytesIn < 45_000 || comp.BytesOut < 45_000 {
			t.Errorf("%+v", comp)
		}
		if n := g.pools.Status()[0].InFlight; n != 0 {
			t.Errorf("%d in flight", n)
		}
	}
}

func TestAWebSocketEndsWithItsUserOrItsCredential(t *testing.T) {
	b := echo(t)
	g := start(t, b.URL, true)
	g.user = alice()
	for _, how := range []string{"cut", "expired"} {
		if how == "expired" {
			g.expires = time.Now().Add(300 * time.Millisecond)
		}
		c, _, err := g.websocket("/", nil)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if how == "cut" && g.streams.CutUser("u1") != 1 {
			t.Error("nothing was cut")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if _, _, err := c.Read(ctx); err == nil || time.Since(begun) > time.Second {
			t.Errorf("%s: %v after %v", how, err, time.Since(begun))
		}
		cancel()
		if comp := g.completion(); comp.Status != 101 || !strings.Contains(comp.Detail, "cut") {
			t.Errorf("%s: %+v", how, comp)
		}
	}
}

func TestADrainEndsTunnelsWhenItsTimeIsUp(t *testing.T) {
	b := echo(t)
	g := start(t, b.URL, false)
	c, _, err := g.websocket("/", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- g.l.Drain(ctx) }()
	time.Sleep(50 * time.Millisecond)
	if err := c.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Error(err)
	}
	if g.streams.CutAll() != 1 {
		t.Error("the tunnel is not known")
	}
	if _, _, err := c.Read(context.Background()); err == nil {
		_, _, err = c.Read(context.Background())
		if err == nil {
			t.Error("it lives on")
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestOnlyARealSwitchOpensATunnel(t *testing.T) {
	b := echo(t)
	g := start(t, b.URL, false)
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for name, c := range map[string]struct{ head, want string }{
		"a version that the backend refuses": {"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 9\r\n" + key, "400"},
		"no Connection":                      {"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + key, "426"},
		"two protocols":                      {"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Version: 13\r\n" + key, "426"},
		"h2c alone":                          {"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n", "426"},
		"a body":                             {"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 1\r\n" + key, "426"},
	} {
		conn := g.dial()
		fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: x\r\n%s\r\nx", c.head)
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		read(t, res, nil)
		if got := fmt.Sprint(res.StatusCode); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if name != "a body" {
			if v := b.last().Header.Get("Http2-Settings"); v != "" {
				t.Errorf("%s: the backend saw HTTP2-Settings", name)
			}
		}
		if len(b.last().Header["Upgrade"]) > 0 && c.want == "426" {
			t.Errorf("%s: the backend saw Upgrade", name)
		}
	}
}

func TestBytesBehindTheHandshakeAreNotLost(t *testing.T) {
	url := hostile(t, func(c net.Conn, r *bufio.Reader, head string) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello ")
		_, _ = io.Copy(c, r)
		_ = c.Close()
	})
	g := start(t, url, false)
	c := g.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nearly ")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	_, _ = io.WriteString(c, "late")
	_ = c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(r); string(b) != "hello early late" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// grpcService is a real gRPC server behind the door.
func grpcService(t *testing.T) (string, *health.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, h := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(s, h)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return "http://" + ln.Addr().String(), h
}

func TestGRPCPasses(t *testing.T) {
	url, h := grpcService(t)
	h.SetServingStatus("orders", healthpb.HealthCheckResponse_SERVING)
	limit := model.Size(1) // from which calls of an http2 service are exempt
	g := start(t, url, true, serviceOf(func(s *model.Service) { s.Protocol = model.HTTP2 }),
		route(func(r *model.Route) { r.BodyBytes = &limit }))
	conn, err := grpc.NewClient(g.host, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(g.ca, "localhost")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := healthpb.NewHealthClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := c.Check(ctx, &healthpb.HealthCheckRequest{Service: "orders"})
	if err != nil || res.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{Service: "unknown"}); status.Code(err) != codes.NotFound {
		t.Errorf("the status in the trailers: %v", err)
	}
	watch, err := c.Watch(ctx, &healthpb.HealthCheckRequest{Service: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{1, 2, 1} {
		res, err := watch.Recv()
		if err != nil || res.Status != want {
			t.Fatalf("%v, %v", res, err)
		}
		next := healthpb.HealthCheckResponse_NOT_SERVING
		if want == 2 {
			next = healthpb.HealthCheckResponse_SERVING
		}
		h.SetServingStatus("orders", next)
	}
	// A refusal is an HTTP status, which gRPC clients know how to read.
	g.refuse.Store(true)
	if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}
