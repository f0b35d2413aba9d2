package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

func startRows() []row {
	return []row{
		{id: "start", measure: starts(fewUsers), result: result{Section: sectionStart, Title: "start to first answer", Asked: &bound{Units: 100}}},
		{id: "startFirst", measure: startFirst, result: result{Section: sectionStart, Title: "first start ever: keys, store and resources made, the administrator under way", Asked: &bound{Units: 100}}},
		{id: "startMany", measure: starts(0), result: result{Section: sectionStart, Title: "start to first answer with many users", Asked: &bound{Units: 100}}},
		{id: "import", measure: imported, result: result{Section: sectionStart, Title: "time and memory of an import"}},
		{id: "decide", measure: decide, result: result{Section: sectionDecide, Title: "go test -bench Decide"}},
	}
}

// starting is a proxy that can be started again and again.
type starting struct {
	who, url string
	again    func() (*process, error)
}

// timeStarts measures from exec to the first 200 on a public route.
func (l *lab) timeStarts(ctx context.Context, r *result, list []starting) error {
	r.Unit = "ms"
	client := trusting()
	for round := range l.o.rounds {
		for _, s := range list {
			start := time.Now()
			p, err := s.again()
			if err == nil {
				err = firstAnswer(ctx, p, client, s.url, nil, 20*time.Second)
			}
			took := time.Since(start)
			p.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", s.who, err)
			}
			r.add(s.who, milliseconds(took))
			l.say("  %s round %d: %-8s %.1f ms", r.ID, round+1, s.who, milliseconds(took))
		}
	}
	return nil
}

// starts measures a start on a store that is there; 0 users are as many as asked for.
func starts(users int) func(context.Context, *lab, *result) ([]*result, error) {
	return func(ctx context.Context, l *lab, r *result) ([]*result, error) {
		n := users
		if n == 0 {
			n, r.Title = l.o.users, fmt.Sprintf("start to first answer with %d users", l.o.users)
		}
		var list []starting
		for _, engine := range []string{"own", "standard"} {
			if engine == "standard" && (!l.o.standard || users == 0) {
				continue
			}
			g, err := l.startGateway(ctx, "start-"+engine, l.bin, engine, n, fewRoutes)
			if err != nil {
				return nil, err
			}
			g.stop()
			who := own
			if engine == "standard" {
				who = standard
			}
			list = append(list, starting{who, "http://" + g.plain + "/public", func() (*process, error) { return g.process, g.run(l, engine) }})
		}
		if users != 0 {
			for who, start := range map[string]func(string, []string) (*peer, error){nginx: l.startNginx, haproxy: l.startHAProxy} {
				p, err := start("start-"+who, nil)
				if err != nil {
					return nil, err
				}
				p.stop()
				list = append(list, starting{who, "http://" + p.Plain + "/public", func() (*process, error) {
					again, err := launch(-1, nil, p.log, p.cmd.Path, p.cmd.Args[1:]...)
					if err == nil {
						l.started(again)
					}
					return again, err
				}})
			}
		}
		return []*result{r}, l.timeStarts(ctx, r, list)
	}
}

// startFirst measures a start on an empty folder.
func startFirst(ctx context.Context, l *lab, r *result) ([]*result, error) {
	files, err := l.gatewayFiles(ctx, fewUsers, fewRoutes)
	if err != nil {
		return nil, err
	}
	at, err := l.address()
	if err != nil {
		return nil, err
	}
	n := 0
	again := func() (*process, error) {
		n++
		g := &gateway{bin: l.bin, dir: filepath.Join(l.dir, fmt.Sprintf("first-%d", n))}
		g.boot = filepath.Join(g.dir, "sallyport.yaml")
		boot := fmt.Sprintf("externalURL: https://bench.example.com\ndataDir: data\nlog: {level: warn}\nresources: [%q]\nlisteners: [{address: %q, serve: [proxy]}]\n",
			filepath.Join(files.dir, "resources.yaml"), at)
		if err := os.MkdirAll(g.dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(g.boot, []byte(boot), 0o600); err != nil {
			return nil, err
		}
		return g.process, g.run(l, "own")
	}
	return []*result{r}, l.timeStarts(ctx, r, []starting{{own, "http://" + at + "/public", func() (*process, error) {
		p, err := again()
		return p, err
	}}})
}

// imported tells what filling the store with many users took.
func imported(ctx context.Context, l *lab, r *result) ([]*result, error) {
	g, err := l.gatewayFiles(ctx, l.o.users, fewRoutes)
	if err != nil {
		return nil, err
	}
	took := &result{ID: "import-time", Section: r.Section, Title: fmt.Sprintf("%d users imported, each with an API key", l.o.users), Unit: "s", Asked: &bound{Units: 60}}
	took.add(own, g.imported.Seconds())
	peak := &result{ID: "import-memory", Section: r.Section, Title: "peak memory of it", Unit: "MiB", Asked: &bound{Units: 1024}}
	peak.add(own, float64(g.importRSS)/(1<<20))
	return []*result{took, peak}, nil
}

var decided = regexp.MustCompile(`(?m)^BenchmarkDecide/(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op\s+\d+ B/op\s+(\d+) allocs/op`)

// decide runs the benchmark of the decision, all steps on a warm cache.
func decide(ctx context.Context, l *lab, r *result) ([]*result, error) {
	var out []*result
	byName := map[string]*result{}
	for range l.o.rounds {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkDecide$", "-benchmem", "-cpu", "1", "-benchtime", fmt.Sprintf("%gs", l.o.seconds), "./internal/gate")
		cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(l.o.proxyCPU)}, cmd.Args...)...)
		b, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("go test -bench Decide: %w\n%s", err, b)
		}
		for _, m := range decided.FindAllSubmatch(b, -1) {
			name := string(m[1])
			if byName[name] == nil {
				byName[name] = &result{ID: "decide-" + name, Section: r.Section, Title: "one decision: " + name, Unit: "ns", Asked: &bound{Units: 2000}, Note: string(m[3]) + " allocations"}
				out = append(out, byName[name])
			}
			ns, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil {
				return nil, err
			}
			byName[name].add(own, ns)
		}
	}
	return out, nil
}
