package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// report is a whole run: what was measured, where, and how.
type report struct {
	Time    time.Time
	Machine map[string]string
	Rounds  int
	Seconds float64
	Options string
	Results []*result
}

func measure(ctx context.Context, o *options) error {
	chosen := chosen(o)
	if o.list {
		for _, r := range chosen {
			fmt.Printf("%-12s %s: %s\n", r.id, r.Section, r.Title)
		}
		return nil
	}
	if len(chosen) == 0 {
		return fmt.Errorf("-only %q names no row; -list lists them", o.only)
	}
	l, err := newLab(o)
	if l != nil {
		defer l.close()
	}
	if err != nil {
		return err
	}
	if o.profile {
		return l.profile(ctx, chosen)
	}
	rep := &report{Time: time.Now().UTC().Truncate(time.Second), Machine: machine(ctx, o), Rounds: o.rounds, Seconds: o.seconds,
		Options: fmt.Sprintf("%d connections; %d users; %d idle connections", o.conns, o.users, o.idle)}
	for _, r := range chosen {
		l.say("%s: %s", r.id, r.Title)
		got, err := r.measure(ctx, l, &r.result)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			l.say("  %s is not measured: %v", r.id, err)
			failed := r.result
			failed.void(own, err)
			got = []*result{&failed}
		}
		rep.Results = append(rep.Results, got...)
	}
	if err := rep.save(o); err != nil {
		return err
	}
	return publish(o, rep)
}

func chosen(o *options) (out []row) {
	for _, r := range rows() {
		if o.only.MatchString(r.id) {
			out = append(out, r)
		}
	}
	return out
}

// machine says what the figures were measured on: without it they mean nothing.
func machine(ctx context.Context, o *options) map[string]string {
	first := func(name string, args ...string) string {
		p, err := program(name)
		if err != nil {
			return "not installed"
		}
		b, _ := exec.CommandContext(ctx, p, args...).CombinedOutput()
		line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
		return line
	}
	cpu := "unknown"
	info, _ := os.ReadFile("/proc/cpuinfo")
	models := regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`).FindAllSubmatch(info, -1)
	if len(models) > 0 {
		cpu = string(models[0][1])
	}
	load, _ := os.ReadFile("/proc/loadavg")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	gateway, _ := exec.CommandContext(ctx, o.bin, "version").Output()
	return map[string]string{"processor": fmt.Sprintf("%s, %d cores", cpu, len(models)), "kernel": strings.TrimSpace(string(kernel)),
		"load before": strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "),
		"gateway":     strings.TrimSpace(string(gateway)), "nginx": first("nginx", "-v"), "haproxy": first("haproxy", "-v"), "h2load": first("h2load", "--version"),
		"wrk": first("wrk", "-v"), "built with": runtime.Version()}
}

// raw is where a run's values are kept.
func (r *report) save(o *options) error {
	dir := filepath.Join(o.results, "raw")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, r.Time.Format("20060102T150405Z")+".json"), r)
}
