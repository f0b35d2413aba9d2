//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const rpcs = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: rpc, protocol: http2, targets: [{url: "BACKEND"}], timeouts: {response: 0s}}]
roles:
  - {name: caller, permissions: [{routes: ["*"], methods: [POST]}]}
  - {name: checker, permissions: [{routes: ["*"], methods: [POST], paths: ["=/grpc.health.v1.Health/Check"]}]}
users:
  - {username: alice, roles: [caller], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [checker], credentials: [{type: password, password: bobs-password}]}
routes: [{name: rpc, paths: [/grpc.health.v1.Health], service: rpc, authenticate: {anyOf: [basic, apiKey]}}]
`

// grpcServer is a real gRPC server with its health service; it keeps the metadata
// that it saw.
func grpcServer(t testing.TB) (url string, h *health.Server, saw func() []metadata.MD) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []metadata.MD
	note := func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		all = append(all, md)
		mu.Unlock()
	}
	s := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			note(ctx)
			_ = grpc.SetHeader(ctx, metadata.Pairs("backend-header", "one"))
			_ = grpc.SetTrailer(ctx, metadata.Pairs("backend-trailer", "two"))
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			note(ss.Context())
			return next(srv, ss)
		}))
	h = health.NewServer()
	healthpb.RegisterHealthServer(s, h)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return "http://" + l.Addr().String(), h, func() []metadata.MD { mu.Lock(); defer mu.Unlock(); return append([]metadata.MD(nil), all...) }
}

func (g *gateway) grpc(t testing.TB) healthpb.HealthClient {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+g.proxy, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return healthpb.NewHealthClient(c)
}

func asCaller(ctx context.Context, name string, pairs ...string) context.Context {
	if name != "" {
		pairs = append(pairs, "authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+name+"s-password")))
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

func TestGRPCPassesWithItsTrailersStreamsAndStatus(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		url, h, saw := grpcServer(t)
		g := start(t, options{engine: engine, resources: withBackend(rpcs, url)})
		client := g.grpc(t)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		h.SetServingStatus("orders", healthpb.HealthCheckResponse_SERVING)

		var head, trail metadata.MD
		res, err := client.Check(asCaller(ctx, "alice", "x-user", "mallory", "x-user-bin", "mallory", "my-own-bin", "\x00\x01\xff"), &healthpb.HealthCheckRequest{Service: "orders"}, grpc.Header(&head), grpc.Trailer(&trail))
		if err != nil || res.Status != healthpb.HealthCheckResponse_SERVING {
			t.Fatalf("unary: %v %v", res, err)
		}
		if head.Get("backend-header")[0] != "one" || trail.Get("backend-trailer")[0] != "two" {
			t.Errorf("header %v, trailer %v", head, trail)
		}
		md := saw()[0]
		if u := md.Get("x-user"); len(u) != 1 || u[0] != "alice" {
			t.Errorf("x-user is %q", u)
		}
		if len(md.Get("authorization")) != 0 || len(md.Get("x-sallyport-assertion")) != 1 || len(md.Get("my-own-bin")) != 1 || md.Get("my-own-bin")[0] != "\x00\x01\xff" {
			t.Errorf("metadata %v", md)
		}
		for k, v := range md {
			if strings.Contains(strings.Join(v, " "), "mallory") {
				t.Errorf("forged %s reached the backend", k)
			}
		}

		_, err = client.Check(asCaller(ctx, "alice"), &healthpb.HealthCheckRequest{Service: "unknown"})
		if status.Code(err) != codes.NotFound {
			t.Errorf("the backend's own status came as %v", err)
		}

		watch, err := client.Watch(asCaller(ctx, "alice"), &healthpb.HealthCheckRequest{Service: "orders"})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING} {
			h.SetServingStatus("orders", want)
			m, err := watch.Recv()
			if err != nil || m.Status != want {
				t.Fatalf("stream: %v %v, want %v", m, err, want)
			}
		}

		t.Run("refusals are gRPC statuses", func(t *testing.T) {
			before := len(saw())
			for _, c := range []struct {
				name, as string
				want     codes.Code
				stream   bool
			}{
				{"nobody", "", codes.Unauthenticated, false},
				{"somebody unknown", "carol", codes.Unauthenticated, false},
				{"bob may not watch", "bob", codes.PermissionDenied, true},
			} {
				var err error
				if c.stream {
					w, e := client.Watch(asCaller(ctx, c.as), &healthpb.HealthCheckRequest{})
					if err = e; err == nil {
						_, err = w.Recv()
					}
				} else {
					_, err = client.Check(asCaller(ctx, c.as), &healthpb.HealthCheckRequest{})
				}
				if status.Code(err) != c.want {
					t.Errorf("%s: %v, want %v", c.name, err, c.want)
				}
			}
			if len(saw()) != before {
				t.Error("the backend saw a refused call")
			}
			if _, err := client.Check(asCaller(ctx, "bob"), &healthpb.HealthCheckRequest{}); err != nil {
				t.Errorf("bob may check: %v", err)
			}
		})

		t.Run("a stream ends when its user is deactivated", func(t *testing.T) {
			g.must(t, 200, "PATCH", "/v2/users/alice", `{"active":false}`)
			begin := time.Now()
			if m, err := watch.Recv(); err == nil {
				t.Errorf("a message after the deactivation: %v", m)
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("the stream was cut %v after the acknowledgement", took)
			}
		})
	})
}

func TestAGRPCCallTimesOutAsItsClientSays(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		url, _, _ := grpcServer(t)
		g := start(t, options{engine: engine, resources: withBackend(rpcs, url)})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w, err := g.grpc(t).Watch(asCaller(ctx, "alice"), &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = w.Recv()
		}
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
	})
}

func TestADeadGRPCServerIsUnavailable(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g := start(t, options{engine: engine, resources: withBackend(rpcs, "http://"+freeAddress(t))})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := g.grpc(t).Check(asCaller(ctx, "alice"), &healthpb.HealthCheckRequest{})
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%v", err)
		}
	})
}
