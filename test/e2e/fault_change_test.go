//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNoRequestIsLostWhileTheConfigurationChanges changes a route and its service
// together, again and again, and holds each answer against the revision that it
// claims: both headers and the backend must be of one.
func TestNoRequestIsLostWhileTheConfigurationChanges(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		changes := counts(25, 1000)
		seeded(t)
		var backends [2]*ledger
		for i := range backends {
			backends[i] = newLedger(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				fmt.Fprintf(w, "%d %s %s", i, r.Header.Get("X-Left"), r.Header.Get("X-Right"))
			})
		}
		g := start(t, options{engine: engine, resources: withBackend(everyone, backends[0].URL)})
		document := func(n int) string {
			return fmt.Sprintf(`{"services":[{"name":"api","targets":[{"url":%q}]}],"routes":[{"name":"api","paths":["/api"],"service":"api",
				"edit":{"request":{"set":{"X-Left":"%d","X-Right":"%d"}},"response":{"set":{"X-Revised":"%d"}}}}]}`, backends[n%2].URL, n, n, n)
		}
		var asked, answered atomic.Int64
		g.must(t, 200, "POST", "/v2/apply", document(0))
		var total tally
		var posts sync.Map
		var c crew
		c.work(6, func(w, i int) {
			client, name := g.client, "HTTP/1.1"
			if w%3 == 2 {
				client, name = g.h2, "HTTP/2"
			}
			probe, method, body := fmt.Sprintf("%d.%d", w, i), "GET", ""
			if i%2 == 0 {
				method, body = "POST", strings.Repeat("x", i%3000)
			}
			least, begin := answered.Load(), time.Now()
			a, err := exchange(client, method, g.url("/api"), body, user("alice"), header("X-Probe", probe))
			total.note(a, err, time.Since(begin))
			if err != nil || a.status != 200 {
				return
			}
			if method == "POST" {
				posts.Store(probe, true)
			}
			var backend, left, right int64
			if n, _ := fmt.Sscanf(a.body, "%d %d %d", &backend, &left, &right); n != 3 {
				t.Errorf("%s: the backend answered %q", name, a.body)
				return
			}
			if most := asked.Load(); left < least || left > most {
				t.Errorf("%s: decided under change %d, when %d was in force already and %d asked for", name, left, least, most)
			}
			if left != right || left%2 != backend || a.header.Get("X-Revised") != fmt.Sprint(left) {
				t.Errorf("%s: decided under several revisions: backend %d, headers %d and %d, answer %s", name, backend, left, right, a.header.Get("X-Revised"))
			}
		})
		for n := 1; n <= changes; n++ {
			next := time.After(100 * time.Millisecond)
			asked.Store(int64(n))
			g.must(t, 200, "POST", "/v2/apply", document(n))
			answered.Store(int64(n))
			<-next
		}
		c.end()
		total.only(t, "under load", 200)
		sent := 0
		posts.Range(func(k, _ any) bool {
			sent++
			if n := backends[0].count(k.(string)) + backends[1].count(k.(string)); n != 1 {
				t.Errorf("POST %v was seen %d times", k, n)
			}
			return true
		})
		t.Logf("%d changes, %d POSTs, %v", changes, sent, &total)
	})
}

// TestH2loadSeesNoFailureWhileTheConfigurationChanges is the same with a load
// generator that others wrote, over both protocols.
func TestH2loadSeesNoFailureWhileTheConfigurationChanges(t *testing.T) {
	h2load := need(t, "h2load")
	b := newLedger(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	g.get(t, "alice", "/api").expect(t, "before", 200, "") // the first password check is slow
	seconds := fmt.Sprint(counts(3, 60))
	for _, protocol := range []string{"h2", "http/1.1"} {
		type result struct {
			out  string
			code int
		}
		done := make(chan result, 1)
		go func() {
			args := []string{"-D", seconds, "-c", "8", "-m", "4", "-H", "Authorization: " + basicHeader("alice").Get("Authorization"), g.url("/api")}
			if protocol == "http/1.1" {
				args = append([]string{"--h1"}, args...)
			}
			out, code := runProgram(t, 5*time.Minute, nil, h2load, args...)
			done <- result{out, code}
		}()
		var r result
		changes := 0
		for busy := true; busy; {
			select {
			case r = <-done:
				busy = false
			case <-time.After(100 * time.Millisecond):
				changes++
				g.must(t, 200, "PUT", "/v2/routes/api", fmt.Sprintf(`{"name":"api","paths":["/api"],"service":"api","edit":{"request":{"set":{"X-Set":"%d"}}}}`, changes))
			}
		}
		var total, failed, good int
		for _, line := range strings.Split(r.out, "\n") {
			if rest, ok := strings.CutPrefix(line, "requests: "); ok {
				var started, finished, succeeded, errored, late int
				_, _ = fmt.Sscanf(rest, "%d total, %d started, %d done, %d succeeded, %d failed, %d errored, %d timeout", &total, &started, &finished, &succeeded, &failed, &errored, &late)
				failed += errored + late
			}
			if rest, ok := strings.CutPrefix(line, "status codes: "); ok {
				_, _ = fmt.Sscanf(rest, "%d 2xx", &good)
			}
		}
		if r.code != 0 || total == 0 || failed != 0 || good < total {
			t.Errorf("%s: exit %d, %d requests, %d failed, %d answered with 2xx:\n%s", protocol, r.code, total, failed, good, r.out)
		}
		if changes < 10 {
			t.Errorf("%s: only %d changes were made", protocol, changes)
		}
		t.Logf("%s: %d requests, %d changes, none failed", protocol, total, changes)
	}
}
