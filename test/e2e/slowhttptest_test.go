//go:build e2e

package e2e

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// colours are what slowhttptest paints its words with, and complete its words where it
// has come to its end.
var (
	colours  = regexp.MustCompile(`\x1b\[[0-9;]*m`)
	complete = regexp.MustCompile(`Exit status: +(No open connections left|Hit test time limit)`)
)

// TestSlowhttptestHoldsUpNobody runs the public tool of that name, which opens slow
// connections of four kinds and asks meanwhile whether the service is still there.
func TestSlowhttptestHoldsUpNobody(t *testing.T) {
	program := need(t, "slowhttptest")
	eachEngine(t, func(t *testing.T, engine string) {
		many, seconds := counts(100, 2000), counts(5, 60)
		b := generous(t, 4<<20)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL), boot: short})
		before := g.metric(t, "go_goroutines")
		for _, mode := range []struct {
			name, path string
			flags      []string
		}{
			{"headers that do not end", "/open", []string{"-H"}},
			{"bodies that do not end", "/open", []string{"-B", "-s", "8192"}},
			{"answers that are not read", "/open/large", []string{"-X", "-k", "3", "-w", "256", "-y", "512", "-n", "5", "-z", "16"}},
			{"ranges without end", "/open/large", []string{"-R"}},
		} {
			var good tally
			c := regulars(g, &good)
			args := append(mode.flags, "-u", g.url(mode.path), "-c", strconv.Itoa(many), "-r", strconv.Itoa(many), "-i", "1", "-l", strconv.Itoa(seconds), "-p", "3", "-v", "1")
			begin := time.Now()
			out, err := exec.Command(program, args...).CombinedOutput()
			c.end()
			said := colours.ReplaceAllString(string(out), "")
			good.only(t, "good clients beside "+mode.name, 200)
			if err != nil || !complete.MatchString(said) || !strings.Contains(said, "service available:   YES") || strings.Contains(said, "service available:   NO") {
				t.Errorf("%s: %v\n%s", mode.name, err, tail(said, 1500))
			}
			t.Logf("%d × %s for %v, good clients: %v", many, mode.name, time.Since(begin).Round(time.Second), &good)
		}
		g.calm(t, before)
	})
}
