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
