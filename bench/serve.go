package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

// serve is the gateway within this program, so that it can be profiled: the first
// SIGUSR1 begins, the second ends and writes the profile.
func serve(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	boot, engine := f.String("c", "", "boot file"), f.String("engine", "own", "own or standard")
	cpu, heap := f.String("cpuprofile", "", "file for the CPU profile"), f.String("allocprofile", "", "file for the profile of allocations, every one sampled")
	unrecorded := f.Bool("unrecorded", false, "keep no audit of requests")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *heap != "" {
		runtime.MemProfileRate = 1
	}
	c, faults := config.Load(*boot)
	if len(faults) > 0 {
		return faults
	}
	ask := make(chan os.Signal, 2)
	signal.Notify(ask, syscall.SIGUSR1)
	profiled := make(chan error, 1)
	go func() { profiled <- profile(ask, *cpu, *heap) }()
	opt := app.Options{Version: "bench", Standard: *engine == "standard", Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Tell: func(string, ...any) {}}
	if *unrecorded {
		opt.Events = nowhere{}
	}
	g, err := app.New(ctx, c, opt)
	if err == nil {
		err = g.Run(ctx)
	}
	select {
	case failed := <-profiled:
		return errors.Join(err, failed)
	default:
		return err
	}
}

// nowhere is an audit that keeps nothing: no gateway runs with it but to tell what
// the real one costs.
type nowhere struct{}

func (nowhere) Append(*model.Event) error { return nil }

func profile(ask <-chan os.Signal, cpu, heap string) error {
	<-ask
	write := func(path string, fill func(io.Writer) error) error {
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		return errors.Join(fill(out), out.Close())
	}
	if heap != "" {
		<-ask
		runtime.GC()
		return write(heap, func(w io.Writer) error { return pprof.Lookup("allocs").WriteTo(w, 0) })
	}
	return write(cpu, func(w io.Writer) error {
		if err := pprof.StartCPUProfile(w); err != nil {
			return err
		}
		<-ask
		pprof.StopCPUProfile()
		return nil
	})
}

// sink is a backend that reads a body to its end before it answers; nginx's return
// answers first.
func sink(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("sink", flag.ContinueOnError)
	address := f.String("address", "", "where to listen")
	if err := f.Parse(args); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != r.ContentLength {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer))
	})}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
