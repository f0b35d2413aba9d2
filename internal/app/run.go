package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

// Run serves what a boot file says until ctx ends, then drains. SIGHUP reads
// certificates again.
func Run(ctx context.Context, cfg *config.Config, version string, out io.Writer) error {
	g, err := New(ctx, cfg, Options{Version: version, Standard: cfg.Engine == "standard", Log: logger(cfg.Log, os.Stderr),
		Tell: func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }})
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end before it had begun
		}
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				g.Reload()
			}
		}
	}()
	return g.Run(ctx)
}

func logger(c config.Log, to io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // config has judged it
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(to, o))
	}
	return slog.New(slog.NewJSONHandler(to, o))
}

// Check compiles a document as if it were all there is, without a store and
// without opening a socket, and runs its policy tests.
func Check(_ context.Context, cfg *config.Config, doc *model.Document) (faults, warnings model.Faults) {
	dir, err := os.MkdirTemp("", "sallyport-check-")
	if err != nil {
		return model.Faults{{Message: "a temporary folder is needed: " + err.Error()}}, nil
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c := *cfg
	c.DataDir = dir
	g := &Gateway{cfg: &c, log: slog.New(slog.DiscardHandler), store: &lateStore{}, opt: Options{Tell: func(string, ...any) {}}}
	for i := range c.Listeners {
		g.listeners = append(g.listeners, &opened{conf: &c.Listeners[i]})
	}
	defer func() { g.listeners = nil; g.close() }()
	if err := g.join(); err != nil {
		return model.Faults{{Message: err.Error()}}, nil
	}
	set := model.NewSet()
	doc.Settings.Over(&set.Settings)
	set.Services, set.Routes, set.Roles, set.Groups = doc.Services, doc.Routes, doc.Roles, doc.Groups
	set.IdentityProviders, set.Expect = doc.IdentityProviders, doc.Expect
	users := map[string]*model.User{}
	for i := range doc.Users {
		u := &doc.Users[i]
		faults = append(faults, u.Validate(fmt.Sprintf("users[%d]", i))...)
		users[model.FoldUsername(u.Username)] = u
	}
	plan, more := g.plans.check(set, func(name string) *model.User { return users[model.FoldUsername(name)] })
	if faults = append(faults, more...); len(faults) > 0 {
		return faults, nil
	}
	return nil, plan.Warnings()
}
