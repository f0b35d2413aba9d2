package doortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sallyport/sallyport/internal/model"
)

// grpcService is a real gRPC server: its health service, and an echo of any other
// method's messages.
func grpcService(t *testing.T) (string, *health.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		stream.SetTrailer(metadata.Pairs("after", "all"))
		for {
			m := &wrapperspb.BytesValue{}
			if err := stream.RecvMsg(m); errors.Is(err, io.EOF) {
				return status.Error(codes.DataLoss, "on purpose")
			} else if err != nil {
				return err
			}
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
	}))
	h := health.NewServer()
	healthpb.RegisterHealthServer(s, h)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return "http://" + ln.Addr().String(), h
}

func overHTTP2(s *model.Service) { s.Protocol = model.HTTP2 }

func (g *Rig) grpc() (*grpc.ClientConn, context.Context) {
	g.T.Helper()
	trust := insecure.NewCredentials()
	if g.Roots != nil {
		trust = credentials.NewClientTLSFromCert(g.Roots, "localhost")
	}
	conn, err := grpc.NewClient(g.Host, grpc.WithTransportCredentials(trust))
	if err != nil {
		g.T.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	g.T.Cleanup(func() { cancel(); _ = conn.Close() })
	return conn, ctx
}

func grpcPasses(t *testing.T, d Door) {
	url, h := grpcService(t)
	h.SetServingStatus("orders", healthpb.HealthCheckResponse_SERVING)
	limit := model.Size(1) // from which calls of an http2 service are exempt
	g := d.start(t, url, Service(overHTTP2), Route(func(r *model.Route) { r.BodyBytes = &limit }))
	conn, ctx := g.grpc()
	c := healthpb.NewHealthClient(conn)
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
	g.Full.Store(true)
	if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("refused: %v", err)
	}
}

func grpcStreams(t *testing.T, d Door) {
	url, _ := grpcService(t)
	g := d.start(t, url, Service(overHTTP2))
	conn, ctx := g.grpc()
	errs := make(chan error, 20)
	for i := range 20 {
		go func() { errs <- converse(ctx, conn, i) }()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	early, cancel := context.WithCancel(ctx) // a call that its client gives up
	stream, err := conn.NewStream(early, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test/Echo")
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg(&wrapperspb.BytesValue{Value: []byte("x")})
	_ = stream.RecvMsg(&wrapperspb.BytesValue{})
	cancel()
	if err := stream.RecvMsg(&wrapperspb.BytesValue{}); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
}

// converse sends messages of all sizes and expects each back before the next.
func converse(ctx context.Context, conn *grpc.ClientConn, n int) error {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test/Echo")
	if err != nil {
		return err
	}
	for i := range 20 {
		sent := []byte(strings.Repeat("m", i*i*n*10))
		if err := stream.SendMsg(&wrapperspb.BytesValue{Value: sent}); err != nil {
			return err
		}
		got := &wrapperspb.BytesValue{}
		if err := stream.RecvMsg(got); err != nil {
			return err
		}
		if string(got.Value) != string(sent) {
			return fmt.Errorf("%d bytes came back of %d", len(got.Value), len(sent))
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	err = stream.RecvMsg(&wrapperspb.BytesValue{})
	if s := status.Convert(err); s.Code() != codes.DataLoss || s.Message() != "on purpose" || stream.Trailer().Get("after")[0] != "all" {
		return fmt.Errorf("the end: %v, %v", err, stream.Trailer())
	}
	return nil
}
