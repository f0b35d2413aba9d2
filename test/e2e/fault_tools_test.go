//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/go-jose/go-jose/v4"
)

// dice is a source of chance whose seed is printed; SALLYPORT_SEED plays a run again.
type dice struct {
	mu sync.Mutex
	r  *mrand.Rand
}

func seeded(t testing.TB) *dice {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SALLYPORT_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SALLYPORT_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed %d (SALLYPORT_SEED=%d plays it again)", seed, seed)
	return &dice{r: mrand.New(mrand.NewPCG(seed, 7))}
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) upTo(limit time.Duration) time.Duration { return time.Duration(d.n(int(limit))) }

// stretched is a deadline of the contract on this machine: as it stands where there
// is room, longer where more is running than there are processors for it.
func stretched(d time.Duration) time.Duration {
	b, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(b), " ")
	f, _ := strconv.ParseFloat(load, 64)
	if f /= float64(runtime.NumCPU()); f <= 1.25 {
		return d
	}
	return time.Duration(float64(d) * min(1+f, 8))
}

// within fails the test where something took longer than it may.
func within(t testing.TB, what string, took, limit time.Duration) {
	t.Helper()
	if s := stretched(limit); took > s {
		t.Errorf("%s took %v, more than %v (%v on a machine as busy as this)", what, took.Round(time.Millisecond), limit, s.Round(time.Millisecond))
	} else if took > limit {
		t.Logf("%s took %v, more than %v, on a busy machine", what, took.Round(time.Millisecond), limit)
	}
}

// spread says how a row of durations lies.
func spread(list []time.Duration) string {
	if len(list) == 0 {
		return "none"
	}
	s := slices.Sorted(slices.Values(list))
	at := func(p float64) time.Duration { return s[int(p*float64(len(s)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("median %v, p99 %v, longest %v of %d", at(0.5), at(0.99), at(1), len(s))
}

func percentile(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return s[int(p*float64(len(s)-1))]
}

// ledger is a backend that counts: each request by the X-Probe that the client gave
// it, and the request ids that the gateway gave, the moment its head has come.
type ledger struct {
	URL    string
	server *httptest.Server

	mu       sync.Mutex
	probes   map[string]int
	requests []string // X-Request-Id
}

func newLedger(t testing.TB, handle http.HandlerFunc) *ledger {
	l := &ledger{probes: map[string]int{}}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.probes[r.Header.Get("X-Probe")]++
		l.requests = append(l.requests, r.Header.Get("X-Request-Id"))
		l.mu.Unlock()
		if handle != nil {
			handle(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s", r.Header.Get("X-Probe"), r.Header.Get("X-Set"))
	}))
	l.server.Config.ReadHeaderTimeout = 30 * time.Second
	l.server.Start()
	l.URL = l.server.URL
	t.Cleanup(func() { l.server.CloseClientConnections(); l.server.Close() })
	return l
}

// count is how often a probe came.
func (l *ledger) count(probe string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.probes[probe]
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.requests)
}

// taken hands over the request ids seen since the last call.
func (l *ledger) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.requests
	l.requests = nil
	return out
}

// segments reads audit segments as they grow.
type segments struct {
	dir  string
	read map[string]int64 // up to which byte
	last uint64           // the sequence number read last
}

func (g *gateway) segments() *segments {
	return &segments{dir: filepath.Join(g.dir, "data", "audit"), read: map[string]int64{}}
}

// next are the events since the last call, of whole lines only, in their order.
func (s *segments) next(t testing.TB) (out []event) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.jsonl"))
	slices.Sort(files)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(f, s.read[name], 1<<30))
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for at < len(b) {
			end := bytes.IndexByte(b[at:], '\n')
			if end <= 0 || b[at] != '{' { // filler, or a line that is not whole
				break
			}
			var e event
			if err := json.Unmarshal(b[at:at+end], &e); err != nil {
				t.Fatalf("%s at byte %d: %v: %s", name, s.read[name]+int64(at), err, b[at:at+end])
			}
			if e.Seq <= s.last {
				t.Errorf("%s: event %d comes behind event %d", name, e.Seq, s.last)
			}
			s.last = e.Seq
			out = append(out, e)
			at += end + 1
		}
		s.read[name] += int64(at)
	}
	return out
}

// decided are the request ids whose decision is in the segments.
func decided(events []event, into map[string]bool) {
	for _, e := range events {
		if e.Type == "access" && e.Part != "completion" {
			into[e.RequestID] = true
		}
	}
}

// metric reads one metric without labels; -1 where there is none.
func (g *gateway) metric(t testing.TB, name string) float64 {
	t.Helper()
	a := g.send(t, "GET", "https://"+g.admin+"/metrics", "")
	for _, line := range strings.Split(a.body, "\n") {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return f
		}
	}
	return -1
}

// calm waits until the gateway has no more goroutines than it had, give or take a few.
func (g *gateway) calm(t testing.TB, before float64) {
	t.Helper()
	g.hangUp()
	var now float64
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if now = g.metric(t, "go_goroutines"); now <= before+15 {
			return
		}
	}
	t.Errorf("%v goroutines are left, %v were there before", now, before)
}

// crew runs workers until it is told to stop.
type crew struct {
	stop atomic.Bool
	wg   sync.WaitGroup
}

// work calls do again and again, with the number of the call.
func (c *crew) work(workers int, do func(worker, i int)) {
	for w := range workers {
		c.wg.Go(func() {
			for i := 0; !c.stop.Load(); i++ {
				do(w, i)
			}
		})
	}
}

func (c *crew) end() {
	c.stop.Store(true)
	c.wg.Wait()
}

// tally counts what came of many requests.
type tally struct {
	mu     sync.Mutex
	status map[int]int
	faults []string
	times  []time.Duration
}

func (c *tally) note(a *answer, err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == nil {
		c.status = map[int]int{}
	}
	c.times = append(c.times, took)
	if err != nil {
		c.status[0]++
		if len(c.faults) < 10 {
			c.faults = append(c.faults, err.Error())
		}
		return
	}
	c.status[a.status]++
	if a.status >= 400 && len(c.faults) < 10 {
		c.faults = append(c.faults, fmt.Sprintf("%d %s", a.status, tail(a.body, 200)))
	}
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%v, %s", c.status, spread(c.times))
}

// only fails the test where an answer has another status.
func (c *tally) only(t testing.TB, what string, status ...int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for s, m := range c.status {
		if !slices.Contains(status, s) {
			t.Errorf("%s: %d requests were answered with %d (0 = not at all), not %v: %s", what, m, s, status, strings.Join(c.faults, "; "))
		}
		n += m
	}
	if n == 0 {
		t.Errorf("%s: there was no request at all", what)
	}
}

// issuer signs tokens with a key that a jwt provider knows by a file.
type issuer struct {
	name string
	kid  string
	key  *rsa.PrivateKey
}

func newIssuer(t testing.TB, name, kid string) *issuer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{name, kid, k}
}

func (i *issuer) pem(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// jwks is the issuer's key set.
func (i *issuer) jwks() string {
	return jsonText(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: i.kid, Algorithm: "RS256", Use: "sig"}}})
}

// claims are good ones for a subject; more replaces and adds, nil takes away.
func (i *issuer) claims(sub string, more map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": i.name, "aud": "api", "sub": sub, "preferred_username": sub, "iat": now, "nbf": now - 1, "exp": now + 600}
	for k, v := range more {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (i *issuer) token(sub string, more map[string]any) string {
	return sign("RS256", i.key, map[string]any{"kid": i.kid}, i.claims(sub, more))
}

func sign(algorithm string, key any, head map[string]any, claims any) string {
	o := &jose.SignerOptions{}
	for k, v := range head {
		o.WithHeader(jose.HeaderKey(k), v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, o.WithType("JWT"))
	if err != nil {
		panic(err)
	}
	payload, ok := claims.(string)
	if !ok {
		payload = jsonText(claims)
	}
	obj, err := s.Sign([]byte(payload))
	if err != nil {
		panic(err)
	}
	out, err := obj.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return out
}

// begin starts a gateway and does not wait for it; it answers when it serves for
// the first time, and how long that took from the start of the process.
func (g *gateway) again(t testing.TB) (took time.Duration) {
	t.Helper()
	g.hangUp()
	g.opt.notReady = true
	begin := time.Now()
	g.run(t)
	for {
		if a, err := exchange(g.client, "GET", g.url("/open"), ""); err == nil && a.status == 200 {
			return time.Since(begin)
		}
		if !g.running() || time.Since(begin) > 20*time.Second {
			t.Fatalf("the gateway does not serve again after %v:\n%s", time.Since(begin), tail(g.log.String(), 4000))
		}
		time.Sleep(3 * time.Millisecond)
	}
}

func jsonInto(text string, v any) bool { return json.Unmarshal([]byte(text), v) == nil }

// newProgram prepares what launch starts at once.
func newProgram(t testing.TB, dir, path string, args ...string) *program {
	p := &program{t: t, name: filepath.Base(path), cmd: exec.Command(path, args...), log: &lockedBuffer{}, exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.log, p.log
	p.cmd.Env = append(os.Environ(), "SALLYPORT_ADMIN_PASSWORD="+adminPassword)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return p
}

func (p *program) begin(t testing.TB) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.exited) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, tail(p.log.String(), 8000))
		}
	})
}

// tcpState asks the kernel for the state of a connection.
func tcpState(fd uintptr, state *[1]byte) bool {
	n := uint32(len(state))
	_, _, e := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(state)), uintptr(unsafe.Pointer(&n)), 0)
	return e == 0
}
