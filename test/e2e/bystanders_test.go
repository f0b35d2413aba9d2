//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// areBystanders tells the test's own program to be clients of another route, and its
// backend. They are a program of their own, so that what is measured is the gateway,
// and not how busy a test is that makes trouble.
const areBystanders = "SALLYPORT_E2E_BYSTANDERS"

// observed is what the bystanders tell of one span.
type observed struct {
	Status map[int]int
	Times  []time.Duration
	Faults []string
}

// bystanders is their program. It prints its backend's address; then a line "begin URL"
// has two clients ask, by HTTP/1.1 and HTTP/2, until a line "end", which is answered.
func bystanders() error {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good") }))
	defer backend.Close()
	fmt.Println(backend.URL)
	clients := []*http.Client{}
	for _, h2 := range []bool{false, true} {
		var p http.Protocols
		p.SetHTTP1(!h2)
		p.SetHTTP2(h2)
		clients = append(clients, &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: &p}})
	}
	var seen *tally
	var c *crew
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		url, begin := strings.CutPrefix(in.Text(), "begin ")
		if begin {
			seen, c = &tally{}, &crew{}
			c.work(len(clients), func(w, _ int) {
				start := time.Now()
				a, err := exchange(clients[w], "GET", url, "")
				seen.note(a, err, time.Since(start))
				time.Sleep(2 * time.Millisecond)
			})
			continue
		}
		c.end()
		if err := json.NewEncoder(os.Stdout).Encode(observed{seen.status, seen.times, seen.faults}); err != nil {
			return err
		}
	}
	return nil
}

// bystanding is the program of the bystanders, seen from the test.
type bystanding struct {
	backend string
	in      io.Writer
	out     *bufio.Reader
}

func newBystanders(t testing.TB) *bystanding {
	t.Helper()
	cmd, in := itself(t, areBystanders+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	b := &bystanding{in: in, out: bufio.NewReader(out)}
	line, err := b.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the bystanders: %v", err)
	}
	b.backend = strings.TrimSpace(line)
	return b
}

func (b *bystanding) begin(t testing.TB, url string) {
	t.Helper()
	if _, err := fmt.Fprintf(b.in, "begin %s\n", url); err != nil {
		t.Fatalf("the bystanders: %v", err)
	}
}

func (b *bystanding) end(t testing.TB) *tally {
	t.Helper()
	_, _ = io.WriteString(b.in, "end\n")
	line, err := b.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the bystanders: %v", err)
	}
	var o observed
	if err := json.Unmarshal(line, &o); err != nil {
		t.Fatalf("the bystanders: %v", err)
	}
	return &tally{status: o.Status, times: o.Times, faults: o.Faults}
}

// yielding lets the test's own program yield to all others until the test ends: what
// makes the trouble takes no processor from the gateway and who is measured.
func yielding(t testing.TB) {
	t.Helper()
	priority := func(n int) {
		threads, _ := filepath.Glob("/proc/self/task/[0-9]*")
		for _, p := range threads {
			if id, err := strconv.Atoi(filepath.Base(p)); err == nil {
				_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, n)
			}
		}
	}
	priority(19)
	t.Cleanup(func() { priority(0) })
}
