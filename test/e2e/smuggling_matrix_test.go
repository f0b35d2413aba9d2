//go:build e2e

package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Everything below a backend's name is open, and /hidden is for alice alone.
const mazes = `
settings: {reverseProxyAuthentication: {enabled: true}}
roles: [{name: reader, permissions: [{routes: ["*"], methods: ["*"]}]}]
users: [{username: alice, roles: [reader], credentials: [{type: password, password: alices-password}]}]
`

// maze is a gateway in front of the witnesses.
func maze(t testing.TB, engine string, plain bool, all []*witness) *gateway {
	t.Helper()
	doc := mazes + "services:\n"
	for _, w := range all {
		doc += fmt.Sprintf("  - {name: %s, targets: [{url: %q}]}\n", w.name, w.URL)
	}
	doc += "routes:\n"
	for _, w := range all {
		doc += fmt.Sprintf("  - {name: %[1]s, paths: [/%[1]s], service: %[1]s, access: public}\n", w.name)
		doc += fmt.Sprintf("  - {name: hidden-%[1]s, paths: [/hidden], headers: {X-Which: %[1]s}, service: %[1]s}\n", w.name)
	}
	doc += fmt.Sprintf("  - {name: hidden, paths: [/hidden], service: %s}\n", all[0].name)
	return start(t, options{engine: engine, plain: plain, resources: doc})
}

// attempt is one case of the matrix.
type attempt struct {
	what    string
	bytes   string
	witness int
	split   []int // where the bytes are parted
	number  int
}

// The matrix: every pair of framing oddities, on foundations in which a request is
// hidden that nobody would allow, through both engines to four real backends. What
// the backends wrote down is held against what the gateway wrote down: every request
// that a backend saw is one that was decided on, under its own id, method and path,
// and is there once.
func TestNoPairOfFramingOdditiesBringsARequestPastItsDecision(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		d, n := seeded(t), 0
		for cases := range batches(matrix(d, counts(3000, 0))) {
			all := witnesses(t, "")
			g := maze(t, engine, true, all)
			tryAll(t, g, all, cases)
			reconcile(t, g, all, len(cases))
			if n += len(cases); t.Failed() {
				break // what has been found is enough to go on with
			}
			g.stop(t)
		}
		t.Logf("%d cases of %d oddities on %d foundations", n, len(oddities()), len(foundations()))
	})
}

// batches parts many cases into such numbers as one gateway's audit is read for.
func batches(cases iter.Seq[attempt]) iter.Seq[[]attempt] {
	return func(yield func([]attempt) bool) {
		var batch []attempt
		for a := range cases {
			if batch = append(batch, a); len(batch) == 10000 {
				if !yield(batch) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

func TestNorDoesItOverTLS(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		all := witnesses(t, "")
		g := maze(t, engine, false, all)
		cases := slices.Collect(matrix(seeded(t), counts(200, 8000)))
		tryAll(t, g, all, cases)
		reconcile(t, g, all, len(cases))
	})
}

// matrix makes most cases, chosen by chance; 0 = all: each oddity alone on every
// foundation, and each pair for every backend.
func matrix(d *dice, most int) iter.Seq[attempt] {
	odd, base, number := oddities(), foundations(), 0
	make := func(w int, f foundation, with ...oddity) attempt {
		number++
		name := witnessNames[w]
		c := &craft{method: "POST", sep1: " ", target: fmt.Sprintf("/%s/c%d.", name, number), sep2: " ", version: "HTTP/1.1", eol: "\r\n", end: "\r\n", hidden: hiddenRequest}
		if d.n(2) == 0 {
			c.hidden = hiddenWhole
		}
		c.line("Host: x")
		f.make(c)
		names := []string{f.name}
		for _, o := range with {
			o.apply(c)
			names = append(names, o.name)
		}
		a := attempt{what: strings.Join(names, " + "), witness: w, number: number, bytes: c.render(number)}
		if n := len(a.bytes); d.n(4) == 0 && n > 2 {
			a.split = append(a.split, 1+d.n(n-1))
		}
		return a
	}
	any := func() oddity { return odd[d.n(len(odd))] }
	return func(yield func(attempt) bool) {
		for i := range most { // half of them single oddities, for those are the likelier
			a := make(d.n(len(witnessNames)), base[d.n(len(base))], odd[i%len(odd)])
			if i >= most/2 {
				a = make(d.n(len(witnessNames)), base[d.n(len(base))], any(), any())
			}
			if !yield(a) {
				return
			}
		}
		if most > 0 {
			return
		}
		for i := range odd {
			for w := range witnessNames {
				for _, f := range base {
					if !yield(make(w, f, odd[i])) {
						return
					}
				}
				for j := i + 1; j < len(odd); j++ {
					a, b := odd[i], odd[j]
					if d.n(2) == 0 {
						a, b = b, a // which comes first matters to some
					}
					if !yield(make(w, base[d.n(len(base))], a, b)) {
						return
					}
				}
			}
		}
	}
}

var saw = regexp.MustCompile(`(?i)x-saw: ([^\r\n]*)`)

// tryAll sends each case over a connection of its own, and behind it a good request
// of somebody else, which must get its own answer.
func tryAll(t *testing.T, g *gateway, all []*witness, cases []attempt) {
	t.Helper()
	const workers = 24
	todo := make(chan attempt)
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[string]int{}
	for range workers {
		victim := newClient(t, false)
		wg.Go(func() {
			for a := range todo {
				got := a.try(t, g)
				status := "nothing"
				if len(got) > 12 && strings.HasPrefix(got, "HTTP/1.") {
					status = got[9:12]
				}
				mu.Lock()
				statuses[status]++
				mu.Unlock()
				if status[0] == '5' && status != "501" && status != "505" {
					t.Errorf("a client's error was answered %s: case %d, %s\n%q\n%q", status, a.number, a.what, tail(a.bytes, 600), tail(got, 300))
				}
				for _, m := range saw.FindAllStringSubmatch(got, -1) {
					if !strings.Contains(m[1], fmt.Sprintf("/%s/c%d.", witnessNames[a.witness], a.number)) && !strings.HasPrefix(m[1], "OPTIONS * ") {
						t.Errorf("the answer to another request came: case %d, %s: %s", a.number, a.what, m[1])
					}
				}
				// A victim on the same backend, whose connection may be the attacked one.
				own := fmt.Sprintf("/%s/v%d.", witnessNames[a.witness], a.number)
				res, err := exchange(victim, "GET", g.url(own), "")
				if err != nil || res.status != 200 || !strings.Contains(res.header.Get("X-Saw"), own) {
					t.Errorf("a good request behind case %d (%s; %q) got %+v %v", a.number, a.what, tail(a.bytes, 600), res, err)
				}
			}
		})
	}
	for _, a := range cases {
		todo <- a
	}
	close(todo)
	wg.Wait()
	t.Logf("first answers: %v", statuses)
	if statuses["400"] == 0 {
		t.Error("the cases do not show anything")
	}
	quiet(t, all)
}

// try sends the bytes and reads until nothing comes any more.
func (a *attempt) try(t testing.TB, g *gateway) string {
	c, err := net.DialTimeout("tcp", g.proxy, 10*time.Second)
	if err != nil {
		t.Errorf("case %d: %v", a.number, err)
		return ""
	}
	if !g.opt.plain {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	from := 0
	for _, at := range append(a.split, len(a.bytes)) {
		if from > 0 {
			time.Sleep(2 * time.Millisecond)
		}
		if _, err := io.WriteString(c, a.bytes[from:at]); err != nil {
			break
		}
		from = at
	}
	var got strings.Builder
	b := make([]byte, 16<<10)
	for wait := 250 * time.Millisecond; ; wait = 60 * time.Millisecond {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(b)
		got.Write(b[:n])
		if err != nil {
			var ne net.Error
			if !errors.Is(err, io.EOF) && !(errors.As(err, &ne) && ne.Timeout()) && got.Len() == 0 && t.Context().Err() == nil {
				return "reset"
			}
			return got.String()
		}
	}
}

// reconcile holds the backends' logs against the audit.
func reconcile(t *testing.T, g *gateway, all []*witness, cases int) {
	t.Helper()
	decisions, finished := map[string]event{}, map[string]event{}
	audit := g.segments()
	until(t, 20*time.Second, "every decision has its completion", func() bool {
		for _, e := range audit.next(t) {
			switch {
			case e.Type != "access":
			case e.Part == "completion":
				finished[e.RequestID] = e
			default:
				decisions[e.RequestID] = e
			}
		}
		return len(finished) >= len(decisions)
	})
	allowed, forwarded := 0, 0
	for id, d := range decisions {
		if d.Outcome == "allowed" {
			allowed++
			if f := finished[id]; f.Outcome == "allowed" && f.Status != 499 {
				forwarded++ // and its answer came from the backend
			}
		}
	}
	times := map[string]int{}
	n := 0
	for _, w := range all {
		for _, s := range w.saw(t) {
			n++
			seen, _, _ := strings.Cut(s.target(), "?")
			if s.id == "-" { // what its parser refused it did not read to the id; its first line says whose it is
				s.method, _, _ = strings.Cut(s.line, " ")
				for id, d := range decisions {
					if d.Outcome == "allowed" && d.Service == w.name && d.Method == s.method && strings.EqualFold(d.Path, seen) && times[id] == 0 {
						s.id = id
						break
					}
				}
			}
			d, decided := decisions[s.id]
			times[s.id]++
			switch {
			case !decided:
				t.Errorf("%s saw a request that the gateway never decided on: %+v", w.name, s)
			case d.Outcome != "allowed":
				t.Errorf("%s saw a request that was refused: %+v, %+v", w.name, s, d)
			case d.Service != w.name:
				t.Errorf("%s saw a request for %s: %+v", w.name, d.Service, s)
			case d.Method != s.method || !strings.EqualFold(path.Clean(d.Path), seen): // %2f and %2F are one
				t.Errorf("%s saw %s %s where %s %s was decided on", w.name, s.method, seen, d.Method, d.Path)
			case strings.HasPrefix(seen, "/hidden"):
				t.Errorf("%s saw the hidden request: %+v", w.name, s)
			}
		}
	}
	for id, k := range times {
		if k > 1 {
			t.Errorf("request %s (%s %s) was seen %d times", id, decisions[id].Method, decisions[id].Path, k)
		}
	}
	for id, d := range decisions {
		f := finished[id]
		if d.Method == "OPTIONS" && f.Status == 204 && times[id] == 0 {
			continue // Max-Forwards: 0, which the gateway answers itself (RFC 9110, 7.6.2); no backend here says 204
		}
		if d.Outcome == "allowed" && f.Outcome == "allowed" && f.Status != 499 && times[id] != 1 {
			t.Errorf("request %s (%s %s), answered %d by its backend, was seen %d times by it", id, d.Method, d.Path, f.Status, times[id])
		}
	}
	t.Logf("%d cases, %d decisions, %d allowed, %d answered by a backend, %d seen by the backends", cases, len(decisions), allowed, forwarded, n)
	if forwarded < cases { // each case has its victim
		t.Errorf("only %d requests were answered by a backend", forwarded)
	}
}

// The cases are worth something: sent to the same backends with no gateway before
// them, many show the hidden request, in each.
func TestWithoutAGatewayTheHiddenRequestsAreSeen(t *testing.T) {
	all := witnesses(t, "")
	cases := slices.Collect(matrix(seeded(t), 3000))
	var wg sync.WaitGroup
	todo := make(chan attempt)
	for range 24 {
		wg.Go(func() {
			for a := range todo {
				a.bytes += "x\r\n\r\n" // the end of what waits for a victim
				_ = a.try(t, &gateway{proxy: strings.TrimPrefix(all[a.witness].URL, "http://"), opt: options{plain: true}})
			}
		})
	}
	for _, a := range cases {
		todo <- a
	}
	close(todo)
	wg.Wait()
	quiet(t, all)
	for _, w := range all {
		n := 0
		for _, s := range w.saw(t) {
			if strings.HasPrefix(s.target(), "/hidden/") {
				n++
			}
		}
		t.Logf("%s saw %d hidden requests", w.name, n)
		if n < 8 {
			t.Errorf("%s saw %d hidden requests only: the cases have lost their point", w.name, n)
		}
	}
}
