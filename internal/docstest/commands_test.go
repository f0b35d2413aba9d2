package docstest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/cli"
)

// cliOutput runs a command line and answers what it prints. The command line
// writes to the process's own standard output, so one at a time.
func cliOutput(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("COLUMNS", "100")
	stdout.Lock()
	defer stdout.Unlock()
	r, w, err := os.Pipe()
	must(t, err)
	before := os.Stdout
	os.Stdout = w
	var out bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&out, r)
	}()
	cli.Main(args, cli.Hooks{Version: "VERSION"})
	os.Stdout = before
	must(t, w.Close())
	<-done
	must(t, r.Close())
	return out.String()
}

var stdout sync.Mutex

// verb is a command with what it has.
type verb struct {
	words []string
	subs  []string
	help  string
	flags map[string]bool // long and short, with their dashes
}

var flagLine = regexp.MustCompile(`(?m)^\s+(?:(-\w), )?\s*(--[a-z][a-z-]*)`)

// verbs is the grammar, read from the command line itself.
func verbs(t *testing.T) map[string]verb {
	t.Helper()
	out := map[string]verb{}
	var walk func(words []string)
	walk = func(words []string) {
		v := verb{words: words, help: cliOutput(t, append(slices.Clone(words), "--help")...), flags: map[string]bool{}}
		for _, m := range flagLine.FindAllStringSubmatch(v.help, -1) {
			v.flags[m[2]] = true
			if m[1] != "" {
				v.flags[m[1]] = true
			}
		}
		_, commands, _ := strings.Cut(v.help, "\nCommands:\n")
		for _, l := range strings.Split(commands, "\n") {
			if name := regexp.MustCompile(`^  (?:.* )?([a-z][a-z-]*)  `).FindStringSubmatch(l); name != nil {
				v.subs = append(v.subs, name[1])
			}
		}
		if words == nil { // run's engine is hidden, and known all the same
			v.flags["--engine"] = true
		}
		out[strings.Join(words, " ")] = v
		for _, s := range v.subs {
			walk(append(slices.Clone(words), s))
		}
	}
	walk(nil)
	return out
}

// shown finds commands: a line of a shell block, or a word in backticks.
var shown = regexp.MustCompile("`(sallyport [^`]*)`")

func commandsOf(p *page) (list []string) {
	for _, b := range p.blocks {
		if kind, _, _ := strings.Cut(b.info, " "); kind != "sh" && kind != "console" {
			continue
		}
		for _, l := range strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
			l = strings.TrimPrefix(strings.TrimSpace(l), "$ ")
			for _, part := range regexp.MustCompile(`[|;&(]+\s*`).Split(unquoted(l), -1) {
				part = regexp.MustCompile(`^(?:[A-Z_]+=\S*\s+|sudo (?:-u \S+ )?)*`).ReplaceAllString(part, "")
				if strings.HasPrefix(part, "sallyport ") {
					list = append(list, part)
				}
			}
		}
	}
	for _, m := range shown.FindAllStringSubmatch(p.prose, -1) {
		list = append(list, unquoted(m[1]))
	}
	return list
}

// unquoted blanks quoted texts and comments, in which anything may stand.
func unquoted(s string) string {
	s = regexp.MustCompile(`'[^']*'|"[^"]*"`).ReplaceAllString(s, "QUOTED")
	s, _, _ = strings.Cut(s, " #")
	return s
}

func TestEveryCommandThatAPageShowsExists(t *testing.T) {
	all, n := verbs(t), 0
	for _, p := range pages(t) {
		for _, c := range commandsOf(&p) {
			n++
			at, words := all[""], strings.Fields(c)[1:]
			for len(words) > 0 && slices.Contains(at.subs, words[0]) {
				at, words = all[strings.Join(append(slices.Clone(at.words), words[0]), " ")], words[1:]
			}
			if len(at.words) == 0 {
				t.Errorf("%s: %q is no command", p.path, c)
				continue
			}
			if alternatives := strings.Split(strings.Join(words, " "), " "); len(at.subs) > 0 && !(len(words) == 0 || words[0] == "…" || strings.HasPrefix(words[0], "-")) {
				t.Errorf("%s: %q: sallyport %s has no command %q", p.path, c, strings.Join(at.words, " "), alternatives[0])
			}
			for _, w := range words {
				name, _, _ := strings.Cut(w, "=")
				if len(name) > 1 && name[0] == '-' && name != "--" && !at.flags[name] {
					t.Errorf("%s: %q: sallyport %s has no flag %s", p.path, c, strings.Join(at.words, " "), name)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d commands were found", n)
	}
}

// Every direct requirement has a reason in decision 0006, and nothing else has one.
func TestEveryDependencyHasAReason(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	must(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "decisions", "0006-dependencies.md"))
	must(t, err)
	required := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		required[m[1]] = true
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			t.Errorf("docs/decisions/0006-dependencies.md has no reason for %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`((?:[a-z]+\\.)+[a-z]+/[^`\\s]+)`").FindAllStringSubmatch(string(page), -1) {
		if !required[m[1]] {
			t.Errorf("docs/decisions/0006-dependencies.md has a reason for %s, which is not required", m[1])
		}
	}
}
