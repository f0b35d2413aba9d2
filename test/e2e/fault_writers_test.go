//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
)

// TestFiftyWritersWithIfMatchLoseNoUpdate has fifty writers count up one object,
// each on the state that it has read.
func TestFiftyWritersWithIfMatchLoseNoUpdate(t *testing.T) {
	seeded(t)
	b := newLedger(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	each := counts(4, 40)
	for _, o := range []struct{ name, path, body string }{
		{"a user", "/v2/users/bob", `{"displayName":"Count %d"}`},
		{"a setting", "/v2/config/identityHeaders", `{"alsoStrip":["X-Count-%d"]}`},
		{"a role", "/v2/roles/read-only", `{"permissions":[{"routes":["*"],"methods":["GET"],"paths":["/count/%d"]}]}`},
	} {
		method := "PATCH"
		if o.name == "a setting" {
			method = "PUT"
		}
		g.must(t, 200, method, o.path, fmt.Sprintf(o.body, 0))
		var mu sync.Mutex
		values, missed := map[int]string{}, 0
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for done := 0; done < each; {
					a := g.api(t, "GET", o.path, "")
					if a.status != 200 {
						t.Errorf("%s: GET: %d %s", o.name, a.status, a.body)
						return
					}
					n := numberIn(a.body, o.body)
					if n < 0 {
						t.Errorf("%s: %s", o.name, a.body)
						return
					}
					etag := a.header.Get("ETag")
					w := g.api(t, method, o.path, fmt.Sprintf(o.body, n+1), header("If-Match", etag))
					mu.Lock()
					switch w.status {
					case 200:
						done++
						if other, twice := values[n+1]; twice {
							t.Errorf("%s: two writers were told that they had made %d: with %s and %s", o.name, n+1, other, etag)
						}
						values[n+1] = etag
					case 412:
						missed++
					default:
						t.Errorf("%s: PUT: %d %s", o.name, w.status, w.body)
						mu.Unlock()
						return
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if n := numberIn(g.api(t, "GET", o.path, "").body, o.body); n != 50*each || len(values) != 50*each {
			t.Errorf("%s: %d writes were acknowledged (%d values), and the count is %d", o.name, 50*each, len(values), n)
		}
		t.Logf("%s: %d writes, %d refused with 412", o.name, 50*each, missed)
	}
}

// numberIn finds the number that a pattern of JSON holds in a text; -1 = none.
func numberIn(text, pattern string) int {
	for i := 0; i+2 < len(pattern); i++ {
		if pattern[i:i+2] != "%d" {
			continue
		}
		from := i
		for from > 0 && pattern[from-1] != '"' {
			from--
		}
		mark := `"` + pattern[from:i]
		for at := 0; at+len(mark) < len(text); at++ {
			if text[at:at+len(mark)] != mark {
				continue
			}
			end := at + len(mark)
			for end < len(text) && text[end] >= '0' && text[end] <= '9' {
				end++
			}
			if n, err := strconv.Atoi(text[at+len(mark) : end]); err == nil {
				return n
			}
		}
	}
	return -1
}
