//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// walk is one block of the walk-through: commands, and the lines that they must
// print, in this order.
type walk struct {
	line     int
	commands string
	expect   []string
}

// TestTheWalkThroughWorksAsItIsWritten runs every block of docs/walkthrough.md that
// is marked "sh walkthrough" against the demo, in one shell, as a reader would, and
// compares what it prints with the block marked "text expect" behind it.
func TestTheWalkThroughWorksAsItIsWritten(t *testing.T) {
	for _, tool := range []string{"curl", "openssl", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: run scripts/install-real-parts", tool)
		}
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "walkthrough.md"))
	if err != nil {
		t.Fatal(err)
	}
	walks := walksOf(t, string(doc))
	demo := startDemo(t)
	ports := map[string]string{"8443": demo.proxy, "8444": demo.admin}
	for _, p := range []string{"8445", "8446", "9000"} {
		ports[p] = vacantPort(t)
	}
	substitute := func(s string) string {
		return regexp.MustCompile(`\b(8443|8444|8445|8446|9000)\b`).ReplaceAllStringFunc(s, func(p string) string { return ports[p] })
	}

	const mark = "@@ block "
	var script strings.Builder
	for i, w := range walks {
		script.WriteString("echo '" + mark + strconv.Itoa(i) + "'\n" + substitute(w.commands))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	sh := exec.CommandContext(ctx, "sh")
	sh.Dir = t.TempDir()
	sh.Stdin = strings.NewReader(script.String())
	sh.Env = append(os.Environ(), "CA="+demo.ca, "KEY="+demo.key, "SOURCE="+root,
		"PATH="+filepath.Dir(binary(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what a block leaves behind ends with it
	sh.Cancel = func() error { return syscall.Kill(-sh.Process.Pid, syscall.SIGKILL) }
	sh.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	sh.Stdout, sh.Stderr = &out, &out
	t.Cleanup(func() {
		if sh.Process != nil {
			_ = syscall.Kill(-sh.Process.Pid, syscall.SIGKILL)
		}
	})
	if err := sh.Run(); err != nil {
		t.Errorf("the shell: %v", err)
	}
	printed := strings.Split(out.String(), mark)
	if len(printed) != len(walks)+1 {
		t.Fatalf("%d of %d blocks were run:\n%s", len(printed)-1, len(walks), out.String())
	}
	for i, w := range walks {
		_, got, _ := strings.Cut(printed[i+1], "\n")
		compareWalk(t, w, substitute, got)
	}
}

// walksOf takes the blocks out of a page.
func walksOf(t *testing.T, doc string) (list []walk) {
	t.Helper()
	kind, start, body := "", 0, []string{}
	for i, l := range strings.Split(doc, "\n") {
		switch {
		case kind == "" && strings.HasPrefix(l, "```") && l != "```":
			kind, start, body = l, i+1, nil
		case kind != "" && l == "```":
			switch kind {
			case "```sh walkthrough":
				list = append(list, walk{line: start, commands: strings.Join(body, "\n") + "\n"})
			case "```text expect":
				if len(list) == 0 || list[len(list)-1].expect != nil {
					t.Fatalf("line %d: expected output without commands before it", start)
				}
				list[len(list)-1].expect = body
			}
			kind = ""
		case kind != "":
			body = append(body, l)
		}
	}
	if len(list) == 0 {
		t.Fatal("the page has no blocks")
	}
	return list
}

// compareWalk looks for each expected line, in order; … stands for anything.
func compareWalk(t *testing.T, w walk, substitute func(string) string, got string) {
	t.Helper()
	rest := strings.Split(got, "\n")
	for _, want := range w.expect {
		if strings.Trim(want, " …") == "" {
			continue
		}
		parts := strings.Split(substitute(strings.TrimSpace(want)), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		line := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		found := false
		for len(rest) > 0 && !found {
			found = line.MatchString(strings.TrimSpace(rest[0]))
			rest = rest[1:]
		}
		if !found {
			t.Errorf("docs/walkthrough.md:%d: the line %q was not printed (in this place) by\n%s\nwhich printed\n%s", w.line, want, w.commands, got)
			return
		}
	}
}

// running is a demo, as its printed lines describe it.
type runningDemo struct{ proxy, admin, ca, key string }

// startDemo runs "sallyport demo" on free ports, and reads where it is.
func startDemo(t *testing.T) (d runningDemo) {
	t.Helper()
	cmd := exec.Command(binary(t), "demo", "--port", "0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for range lines {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo did not end cleanly: %v", err)
		}
	})
	forms := map[*string]*regexp.Regexp{
		&d.proxy: regexp.MustCompile(`API at https://localhost:(\d+)`),
		&d.admin: regexp.MustCompile(`administration at https://localhost:(\d+)`),
		&d.ca:    regexp.MustCompile(`--cacert (\S+)`),
		&d.key:   regexp.MustCompile(`X-API-Key: (sp_[0-9A-Za-z]+)`),
	}
	over := time.After(30 * time.Second)
	for len(forms) > 0 {
		select {
		case l, ok := <-lines:
			if !ok {
				t.Fatal("the demo ended")
			}
			for at, form := range forms {
				if m := form.FindStringSubmatch(l); m != nil {
					*at = m[1]
					delete(forms, at)
				}
			}
		case <-over:
			t.Fatal("the demo does not say where it is")
		}
	}
	go func() { // the other lines are for people
		for range lines {
		}
	}()
	answering(t, d.proxy)
	return d
}

// answering waits until something listens on a port of the loopback interface.
func answering(t *testing.T, port string) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("localhost", port), time.Second)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

func vacantPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
