package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	bin       string
	dir       string
	results   string
	rounds    int
	seconds   float64
	only      *regexp.Regexp
	quick     bool
	standard  bool
	rival     string
	profile   bool
	list      bool
	users     int
	idle      int
	conns     int
	proxyCPU  int
	loadCPU   int
	write     string
	from      string
	latest    bool
	keepFiles bool
}

func (o *options) span() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return serve(ctx, args[1:])
		case "prepare":
			return prepare(ctx, args[1:])
		case "sink":
			return sink(ctx, args[1:])
		}
	}
	o, err := parse(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if o.from != "" {
		r, err := readReport(o.from)
		if err != nil {
			return err
		}
		return publish(o, r)
	}
	if done, err := pinned(o); done || err != nil {
		return err
	}
	return measure(ctx, o)
}

func parse(args []string) (*options, error) {
	o := &options{}
	only := ""
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.bin, "bin", "bin/sallyport", "the gateway")
	f.StringVar(&o.dir, "dir", "", "folder for configurations and logs; a temporary one if left out")
	f.StringVar(&o.results, "results", "bench/results", "folder for results")
	f.IntVar(&o.rounds, "rounds", 4, "interleaved rounds of each row")
	f.Float64Var(&o.seconds, "seconds", 3, "of each measurement")
	f.StringVar(&only, "only", "", "rows whose id matches this expression")
	f.BoolVar(&o.list, "list", false, "list the rows and end")
	f.BoolVar(&o.quick, "quick", false, "two rounds of one second, fewer users and connections: to see that it works")
	f.BoolVar(&o.standard, "standard", true, "measure the engine on net/http too")
	f.StringVar(&o.rival, "rival", "", "another build of the gateway, to measure beside this one")
	f.BoolVar(&o.profile, "profile", false, "instead of measuring, profile the gateway in the rows that -only names")
	f.IntVar(&o.users, "users", 1_000_000, "of the row with many users")
	f.IntVar(&o.idle, "idle", 10_000, "idle connections")
	f.IntVar(&o.conns, "connections", 32, "of the load")
	f.IntVar(&o.proxyCPU, "proxy-cpu", 1, "the core of the proxy")
	f.IntVar(&o.loadCPU, "load-cpu", 0, "the core of load and backend")
	f.StringVar(&o.write, "write", "", "put the tables between the markers of this document")
	f.StringVar(&o.from, "from", "", "measure nothing, take this raw result")
	f.BoolVar(&o.latest, "latest", false, "write the tables to latest.md among the results")
	f.BoolVar(&o.keepFiles, "keep", false, "keep configurations and logs")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is not understood; see -help", f.Arg(0))
	}
	if o.quick {
		given := map[string]bool{}
		f.Visit(func(x *flag.Flag) { given[x.Name] = true })
		for name, value := range map[string]string{"rounds": "2", "seconds": "1", "users": "100000", "idle": "2000"} {
			if !given[name] {
				_ = f.Set(name, value)
			}
		}
	}
	re, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	o.only = re
	return o, nil
}

// pinnedBy tells the program that it is on its core already.
const pinnedBy = "SALLYPORT_BENCH_PINNED"

// pinned puts the program, and with it the load and the backend that it starts, on
// the load's core. done says that another process has done the work.
func pinned(o *options) (done bool, err error) {
	if os.Getenv(pinnedBy) != "" || o.list {
		return false, nil
	}
	if n := runtime.NumCPU(); n <= max(o.proxyCPU, o.loadCPU) || o.proxyCPU == o.loadCPU {
		return false, fmt.Errorf("proxy and load need a core each (-proxy-cpu %d, -load-cpu %d); there are %d", o.proxyCPU, o.loadCPU, n)
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	if err := os.Setenv(pinnedBy, "1"); err != nil {
		return false, err
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return false, fmt.Errorf("taskset (util-linux) is needed to pin processes: %w", err)
	}
	return true, syscall.Exec(taskset, append([]string{"taskset", "-c", strconv.Itoa(o.loadCPU), self}, os.Args[1:]...), os.Environ())
}
