//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// streaming is a backend with everything that stays open: events, an echo socket, a
// download without end, and an upload that is read as it comes.
func streaming(t testing.TB) *ledger {
	return newLedger(t, func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/socket"):
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			defer func() { _ = c.CloseNow() }()
			for {
				kind, m, err := c.Read(context.Background())
				if err != nil || c.Write(context.Background(), kind, m) != nil {
					return
				}
			}
		case strings.HasSuffix(path, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				fmt.Fprint(w, "data: tick\n\n")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		case strings.HasSuffix(path, "/silence"): // a head, and then nothing for long
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "ok")
		}
	})
}

// leaver is a user with everything open, about to lose its right to it.
type leaver struct {
	g      *gateway
	name   string
	key    string   // an API key
	is     *issuer  // of its bearer tokens
	opened sync.Map // the name of each stream, to when it ended
	wg     sync.WaitGroup
	ways   map[string]mod
}

// open opens a stream and notes when it ends.
func (l *leaver) open(t *testing.T, what string, start func() (wait func() error, err error)) {
	t.Helper()
	wait, err := start()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	l.opened.Store(what, time.Time{})
	l.wg.Go(func() {
		if err := wait(); err == nil {
			t.Errorf("%s of %s ended cleanly, as if it were whole", what, l.name)
		}
		l.opened.Store(what, time.Now())
	})
}

// all opens every kind of stream with one credential.
func (l *leaver) all(t *testing.T, way string, as mod) {
	t.Helper()
	for name, client := range l.g.clients() {
		for _, path := range []string{"/api/events", "/api/silence"} {
			l.open(t, path+" by "+name+" with "+way, func() (func() error, error) {
				req, _ := http.NewRequest("GET", l.g.url(path), nil)
				as(req)
				c := *client
				c.Timeout = 0
				res, err := c.Do(req)
				if err != nil {
					return nil, err
				}
				if res.StatusCode != 200 {
					return nil, fmt.Errorf("status %d", res.StatusCode)
				}
				return func() error { _, err := io.Copy(io.Discard, res.Body); _ = res.Body.Close(); return err }, nil
			})
		}
		l.open(t, "an upload by "+name+" with "+way, func() (func() error, error) {
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("POST", l.g.url("/api/upload"), pr)
			as(req)
			c := *client
			c.Timeout = 0
			go func() {
				for _, err := io.WriteString(pw, "more"); err == nil; _, err = io.WriteString(pw, "more") {
					time.Sleep(20 * time.Millisecond)
				}
			}()
			return func() error {
				res, err := c.Do(req)
				if err == nil {
					_ = res.Body.Close()
					err = fmt.Errorf("answered %d", res.StatusCode)
				}
				_ = pr.CloseWithError(io.ErrClosedPipe)
				return err
			}, nil
		})
	}
	l.open(t, "a socket with "+way, func() (func() error, error) {
		req, _ := http.NewRequest("GET", "/", nil)
		as(req)
		c, _, err := l.g.dial(t, "/api/socket", req.Header, websocket.DialOptions{})
		if err != nil {
			return nil, err
		}
		return func() error { _, _, err := c.Read(context.Background()); return err }, nil
	})
}

// ended waits until all that is open was cut, and says how long after begin.
func (l *leaver) ended(t *testing.T, how string, begin time.Time) {
	t.Helper()
	done := make(chan struct{})
	go func() { l.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
	l.opened.Range(func(what, at any) bool {
		if at.(time.Time).IsZero() {
			t.Errorf("%s: %v is still open after %v", how, what, time.Since(begin).Round(time.Millisecond))
		} else {
			within(t, how+": cutting "+what.(string), at.(time.Time).Sub(begin), time.Second)
		}
		return true
	})
}

const leaving = everyone + `
identityProviders: [{name: idp, type: jwt, issuer: "https://idp.example.com", audiences: [api], keyFile: keys.pem, provision: match}]
`

// leaver makes a user with a password, a key and a token.
func newLeaver(t *testing.T, g *gateway, is *issuer, name string) *leaver {
	t.Helper()
	g.must(t, 201, "POST", "/v2/users", fmt.Sprintf(`{"username":%q,"roles":["writer"],"credentials":[{"type":"password","password":"%ss-password"}]}`, name, name))
	var c struct{ Secret string }
	g.must(t, 201, "POST", "/v2/users/"+name+"/credentials", `{"type":"apiKey"}`).into(t, &c)
	l := &leaver{g: g, name: name, key: c.Secret, is: is}
	l.ways = map[string]mod{"its password": user(name), "its key": header("X-API-Key", l.key), "its token": bearer(is.token(name, nil))}
	for way, as := range l.ways {
		g.call(t, "GET", "/api", "", as).expect(t, way, 200, "")
	}
	return l
}

// TestNoRequestPassesOnceLeavingIsAcknowledged takes a user's right away under load,
// in every way there is: no request that began after the answer passes, and what is
// open ends within a second.
func TestNoRequestPassesOnceLeavingIsAcknowledged(t *testing.T) {
	for _, way := range []struct {
		name   string
		status int
		leave  func(t *testing.T, l *leaver)
	}{
		{"deactivated", 401, func(t *testing.T, l *leaver) {
			l.g.must(t, 200, "PATCH", "/v2/users/"+l.name, `{"active":false}`)
		}},
		{"deleted", 401, func(t *testing.T, l *leaver) { l.g.must(t, 204, "DELETE", "/v2/users/"+l.name, "") }},
		{"expired at once", 401, func(t *testing.T, l *leaver) {
			l.g.must(t, 200, "PATCH", "/v2/users/"+l.name, `{"expiresAt":"2020-01-01T00:00:00Z"}`)
		}},
		{"deactivated by a document", 401, func(t *testing.T, l *leaver) {
			l.g.must(t, 200, "POST", "/v2/apply", fmt.Sprintf(`{"users":[{"username":%q,"active":false}]}`, l.name))
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, engine string) {
				seeded(t)
				b, is, dir := streaming(t), newIssuer(t, "https://idp.example.com", "k1"), t.TempDir()
				write(t, filepath.Join(dir, "keys.pem"), is.pem(t))
				g := start(t, options{engine: engine, dir: dir, resources: withBackend(leaving, b.URL)})
				for round := range counts(1, 20) {
					l := newLeaver(t, g, is, fmt.Sprint("leaver", round))
					for w, as := range l.ways {
						l.all(t, w, as)
					}
					acknowledged, stop := l.pester(t, way.status)
					way.leave(t, l)
					at := time.Now()
					acknowledged.Store(true)
					l.ended(t, way.name, at)
					stop()
				}
				g.get(t, "alice", "/api").expect(t, "somebody else", 200, "")
			})
		})
	}
}

// pester sends requests with every credential of the user. Those that begin after
// the acknowledgement must have the status.
func (l *leaver) pester(t *testing.T, status int) (acknowledged *atomic.Bool, stop func()) {
	acknowledged = new(atomic.Bool)
	var c crew
	var late, early atomic.Int64
	for way, as := range l.ways {
		c.work(2, func(w, _ int) {
			client := l.g.client
			if w == 1 {
				client = l.g.h2
			}
			after := acknowledged.Load()
			a, err := exchange(client, "GET", l.g.url("/api"), "", as)
			switch {
			case err != nil:
				if after { // what was under way may be cut
					t.Errorf("%s: %v", way, err)
				}
			case after && a.status != status:
				t.Errorf("a request with %s that began after the acknowledgement: %d %s", way, a.status, a.code())
			case after:
				late.Add(1)
			case a.status == 200:
				early.Add(1)
			case a.status != status:
				t.Errorf("a request with %s: %d %s", way, a.status, a.body)
			}
		})
	}
	until(t, 20*time.Second, "there are requests before", func() bool { return early.Load() >= 10 })
	return acknowledged, func() {
		until(t, 20*time.Second, "there are requests after", func() bool { return late.Load() >= 10 })
		c.end()
	}
}

// TestACredentialEndsAtOnceAndItsUserGoesOn deletes one credential of several.
func TestACredentialEndsAtOnceAndItsUserGoesOn(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		seeded(t)
		b, is, dir := streaming(t), newIssuer(t, "https://idp.example.com", "k1"), t.TempDir()
		write(t, filepath.Join(dir, "keys.pem"), is.pem(t))
		g := start(t, options{engine: engine, dir: dir, resources: withBackend(leaving, b.URL)})
		l := newLeaver(t, g, is, "carol")
		l.all(t, "its key", l.ways["its key"])
		other := &leaver{g: g, name: "carol"}
		other.all(t, "its password", l.ways["its password"])
		id := strings.Split(l.key, "_")[1]
		var list struct{ Items []struct{ ID, Type string } }
		g.must(t, 200, "GET", "/v2/users/carol/credentials", "").into(t, &list)
		for _, c := range list.Items {
			if c.Type == "apiKey" {
				id = c.ID
			}
		}
		l.ways = map[string]mod{"its key": l.ways["its key"]}
		var c crew
		var acknowledged atomic.Bool
		c.work(4, func(int, int) {
			after := acknowledged.Load()
			a, err := exchange(g.client, "GET", g.url("/api"), "", l.ways["its key"])
			if after && (err != nil || a.status != 401) {
				t.Errorf("a key that is no more: %v %v", a, err)
			}
		})
		time.Sleep(50 * time.Millisecond)
		g.must(t, 204, "DELETE", "/v2/users/carol/credentials/"+id, "")
		at := time.Now()
		acknowledged.Store(true)
		l.ended(t, "a deleted key", at)
		c.end()
		g.get(t, "carol", "/api").expect(t, "the user's password", 200, "")
		other.opened.Range(func(what, at any) bool {
			if !at.(time.Time).IsZero() {
				t.Errorf("%v was cut along", what)
			}
			return true
		})
		g.must(t, 200, "PATCH", "/v2/users/carol", `{"active":false}`)
		other.ended(t, "deactivated", time.Now())
	})
}

// TestAnExpiryEndsWhatIsOpen lets a user and a key expire while streams are open.
func TestAnExpiryEndsWhatIsOpen(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		seeded(t)
		b, is, dir := streaming(t), newIssuer(t, "https://idp.example.com", "k1"), t.TempDir()
		write(t, filepath.Join(dir, "keys.pem"), is.pem(t))
		g := start(t, options{engine: engine, dir: dir, resources: withBackend(leaving, b.URL)})
		end := time.Now().Add(2 * time.Second).UTC().Truncate(time.Millisecond)
		stamp := end.Format("2006-01-02T15:04:05.000Z")
		l := newLeaver(t, g, is, "dora")
		g.must(t, 200, "PATCH", "/v2/users/dora", fmt.Sprintf(`{"expiresAt":%q}`, stamp))
		l.all(t, "its password", l.ways["its password"])
		g.must(t, 201, "POST", "/v2/users", `{"username":"emil","roles":["writer"]}`)
		var c struct{ Secret string }
		g.must(t, 201, "POST", "/v2/users/emil/credentials", fmt.Sprintf(`{"type":"apiKey","expiresAt":%q}`, stamp)).into(t, &c)
		key := &leaver{g: g, name: "emil"}
		key.all(t, "an expiring key", header("X-API-Key", c.Secret))
		g.get(t, "dora", "/api").expect(t, "before the user expires", 200, "")
		g.call(t, "GET", "/api", "", header("X-API-Key", c.Secret)).expect(t, "before the key expires", 200, "")
		time.Sleep(time.Until(end) + 5*time.Millisecond)
		g.get(t, "dora", "/api").expect(t, "a user that has expired", 401, "credential_invalid")
		g.call(t, "GET", "/api", "", header("X-API-Key", c.Secret)).expect(t, "a key that has expired", 401, "credential_expired")
		l.ended(t, "the user has expired", end)
		key.ended(t, "the key has expired", end)
	})
}

// TestRightsEndWithTheNextRequest takes roles away in each of the ways in which a
// user has them.
func TestRightsEndWithTheNextRequest(t *testing.T) {
	seeded(t)
	b := newLedger(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	for round := range counts(3, 100) {
		for _, way := range []struct{ name, method, path, take, give string }{
			{"the user's role", "PATCH", "/v2/users/alice", `{"roles":[],"groups":[]}`, `{"roles":["writer"],"groups":["staff"]}`},
			{"the role's permission", "PUT", "/v2/roles/writer", `{"name":"writer","permissions":[{"routes":["other"],"methods":["*"]}]}`, `{"name":"writer","permissions":[{"routes":["*"],"methods":["*"]}]}`},
			{"the route's access", "PATCH", "/v2/routes/api", `{"rules":[{"name":"nobody","deny":"true"}]}`, `{"rules":[]}`},
		} {
			g.call(t, "POST", "/api", "", user("alice")).expect(t, "before", 200, "")
			var c crew
			var taken atomic.Bool
			c.work(3, func(w, _ int) {
				client := g.client
				if w == 1 {
					client = g.h2
				}
				after := taken.Load()
				a, err := exchange(client, "POST", g.url("/api"), "", user("alice"))
				if err != nil || after && a.status != 403 || a.status != 403 && a.status != 200 {
					t.Errorf("round %d, %s: taken = %v, %v %v", round, way.name, after, a, err)
				}
			})
			g.must(t, 200, way.method, way.path, way.take)
			taken.Store(true)
			g.call(t, "POST", "/api", "", user("alice")).expect(t, way.name+" is taken", 403, "permission_denied")
			time.Sleep(20 * time.Millisecond)
			c.end()
			g.must(t, 200, way.method, way.path, way.give)
			g.call(t, "POST", "/api", "", user("alice")).expect(t, way.name+" is given", 200, "")
		}
	}
}
