package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

// Exit codes.
const (
	Done   = 0
	Failed = 1 // refused, or something went wrong
	Usage  = 2 // the command line itself is wrong
)

// Hooks are the verbs that need the whole program.
type Hooks struct {
	// Run serves until it is told to stop; a nil error is a clean end.
	Run func(ctx context.Context, c *config.Config) error
	// Demo serves the demonstration.
	Demo func(ctx context.Context, o DemoOptions) error
	// Check compiles what the boot file's resources hold, and runs their policy
	// tests. Faults with a path into doc are located by the caller. Nil checks
	// each file by itself alone. Warnings are what holds together and may not be meant.
	Check func(ctx context.Context, c *config.Config, doc *model.Document) (faults, warnings model.Faults)
	// Version is what is running; "" asks the binary.
	Version string
}

// DemoOptions are what the demonstration can be told.
type DemoOptions struct {
	Dir  string // where it keeps its state; "" = a temporary folder, removed at the end
	Port int    // of the proxy; the admin API has the next; 0 = any free ones
}

// terminal is what the commands read and write: the process's own, or a test's.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	env      func(name string) string
	// password asks on the terminal without echo; nil where there is none.
	password func(prompt string) (string, error)
	progress bool // standard error is a terminal
}

// Main runs one command line, without the program's name, and answers the exit code.
func Main(args []string, h Hooks) int {
	t := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, progress: isTerminal(os.Stderr)}
	if isTerminal(os.Stdin) {
		t.password = func(prompt string) (string, error) { return askPassword(os.Stdin, os.Stderr, prompt) }
	}
	return execute(args, h, t)
}

// run is what every command gets: where to read and write, and how to log in.
type run struct {
	*terminal
	hooks Hooks
	flags *globals
	kong  *kong.Kong
}

// exit ends the parse early: after --help.
type exit int

func execute(args []string, h Hooks, t *terminal) (code int) {
	nothing := len(args) == 0
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exit:
			if code = int(e); nothing {
				code = Usage
			}
		default:
			panic(e)
		}
	}()
	if h.Version == "" {
		h.Version = builtVersion()
	}
	g := &grammar{}
	k, err := kong.New(g, kong.Name("sallyport"), kong.Description("An authenticating gateway for REST APIs."),
		kong.UsageOnError(), kong.Writers(t.out, t.err), kong.Exit(func(c int) { panic(exit(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	if err != nil {
		fmt.Fprintln(t.err, "sallyport: the grammar is broken:", err)
		return Failed
	}
	if len(args) > 0 && args[0] == completeVerb {
		complete(k, args[1:], t.out)
		return Done
	}
	if nothing {
		args, k.Stdout = []string{"--help"}, t.err
	}
	c, err := k.Parse(args)
	if err != nil {
		fmt.Fprintf(t.err, "sallyport: %s\n", err)
		fmt.Fprintf(t.err, "  See sallyport %s--help.\n", at(err))
		return Usage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &run{terminal: t, hooks: h, flags: &g.globals, kong: k}
	c.BindTo(ctx, (*context.Context)(nil))
	return r.finish(c.Run(r))
}

// at is how far the command line was understood.
func at(err error) string {
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil {
		if c := strings.Fields(p.Context.Command()); len(c) > 0 {
			var words []string
			for _, w := range c {
				if strings.HasPrefix(w, "<") || strings.HasPrefix(w, "[") {
					break
				}
				words = append(words, w)
			}
			return strings.Join(words, " ") + " "
		}
	}
	return ""
}

// usageError is a command line that says too little or contradicts itself.
type usageError struct{ message, remedy string }

func (e *usageError) Error() string  { return e.message }
func (e *usageError) Remedy() string { return e.remedy }

// remedied is an error that says what to do.
type remedied interface{ Remedy() string }

// errReported is a failure of which all has been said.
var errReported = errors.New("reported")

// finish says what went wrong, and answers the exit code.
func (r *run) finish(err error) int {
	switch {
	case err == nil:
		return Done
	case errors.Is(err, errReported):
		return Failed
	case errors.Is(err, context.Canceled):
		return Failed
	}
	var faults model.Faults
	if errors.As(err, &faults) {
		r.faults(faults)
		return Failed
	}
	fmt.Fprintf(r.err, "sallyport: %s\n", printable(err.Error()))
	r.problemFaults(err)
	var m remedied
	if errors.As(err, &m) && m.Remedy() != "" {
		fmt.Fprintf(r.err, "  %s\n", m.Remedy())
	}
	var u *usageError
	if errors.As(err, &u) {
		return Usage
	}
	return Failed
}

// faults lists faults as editors know them: file:line: path: message.
func (r *run) faults(f model.Faults) {
	for _, x := range f {
		fmt.Fprintln(r.err, printable(place(x)+x.Message))
	}
	fmt.Fprintf(r.err, "sallyport: %s\n", count(len(f), "fault"))
}

func place(x model.Fault) (at string) {
	at = x.File
	if x.Line > 0 {
		at += fmt.Sprintf(":%d", x.Line)
	}
	if at != "" {
		at += ": "
	}
	if x.Path != "" {
		at += x.Path + ": "
	}
	return at
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
