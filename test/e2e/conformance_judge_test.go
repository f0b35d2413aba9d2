//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// must is one demand of RFC 9110 or 9112 on a gateway, judged from both sides: by
// the bytes that the client got, and by those that the backend got. In send and
// then, {C} is the case's own path.
type must struct {
	clause, name string
	send         string   // what the client writes
	then         string   // and, once something came back
	half         bool     // and then closes its side
	methods      []string // of the requests whose answers are read; nil = that of send
	reply        string   // what the backend answers; "" = 200 with ok
	hangUp       bool     // and then closes
	early        bool     // it answers before it reads the body
	version      bool     // it is about requests of HTTP/1.1 alone
	want         []claim
	standard     string // why net/http cannot do it; "" = both engines must
}

// claim looks at an outcome, and says what is wrong with it.
type claim func(o *outcome) string

// heardAnswer is one answer as the client got it.
type heardAnswer struct {
	status int
	head   string // with its empty line
	fields []pair
	body   string
	clean  bool // it ended as its framing says
}

func (a *heardAnswer) values(name string) (out []string) {
	for _, f := range a.fields {
		if strings.EqualFold(f.name, name) {
			out = append(out, f.value)
		}
	}
	return out
}

// askedRequest is one request as the backend got it.
type askedRequest struct {
	line   string
	head   string
	fields []pair
	raw    string // of the body, as framed
	body   string
	whole  bool
}

func (r *askedRequest) values(name string) (out []string) {
	for _, f := range r.fields {
		if strings.EqualFold(f.name, name) {
			out = append(out, f.value)
		}
	}
	return out
}

type outcome struct {
	client  string // every byte before the probe
	interim []heardAnswer
	finals  []heardAnswer
	asked   []askedRequest
	alive   bool // another request was answered on the same connection
	ended   bool // the gateway closed the connection
}

// judge is the backend: it answers each case as the case says.
type judge struct {
	URL string

	mu    sync.Mutex
	cases map[int]*must
	seen  map[int][]askedRequest
	stray []string
}

var casePath = regexp.MustCompile(`/m(\d+)`)

func newJudge(t testing.TB) *judge {
	j := &judge{cases: map[int]*must{}, seen: map[int][]askedRequest{}}
	j.URL = rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for j.serve(c, r) {
		}
	})
	return j
}

func (j *judge) serve(c net.Conn, r *bufio.Reader) bool {
	h, err := head(r)
	if err != nil {
		if h != "" {
			j.mu.Lock()
			j.stray = append(j.stray, h)
			j.mu.Unlock()
		}
		return false
	}
	q := askedRequest{head: h}
	q.line, q.fields = fieldsOf(h)
	number := 0
	if m := casePath.FindStringSubmatch(q.line); m != nil {
		number, _ = strconv.Atoi(m[1])
	}
	j.mu.Lock()
	k := j.cases[number]
	if k == nil && !strings.Contains(q.line, "/probe") {
		j.stray = append(j.stray, h)
	}
	at := len(j.seen[number])
	j.seen[number] = append(j.seen[number], q)
	j.mu.Unlock()
	reply, method := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", strings.SplitN(q.line, " ", 2)[0]
	if k == nil || k.reply == "" {
		if method == "HEAD" {
			reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
		}
	} else {
		reply = strings.ReplaceAll(k.reply, "{LINE}", q.line)
	}
	if k != nil && k.early {
		_, _ = io.WriteString(c, reply)
	}
	q.raw, q.body, q.whole = bodyOf(r, &q)
	j.mu.Lock()
	j.seen[number][at] = q
	j.mu.Unlock()
	if !q.whole {
		return false
	}
	if k == nil || !k.early {
		if _, err := io.WriteString(c, reply); err != nil {
			return false
		}
	}
	if strings.HasPrefix(reply, "HTTP/1.1 101") && len(q.values("Upgrade")) > 0 {
		_, _ = io.Copy(c, r) // a parrot
		return false
	}
	return k == nil || !k.hangUp
}

// fieldsOf reads a head as it is, forgiving nothing and nobody.
func fieldsOf(h string) (line string, out []pair) {
	lines := strings.Split(strings.TrimSuffix(h, "\r\n\r\n"), "\r\n")
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		out = append(out, pair{name, strings.Trim(value, " \t")})
	}
	return lines[0], out
}

// bodyOf reads a request's body by its framing.
func bodyOf(r *bufio.Reader, q *askedRequest) (raw, body string, whole bool) {
	if te := q.values("Transfer-Encoding"); len(te) > 0 {
		var b, data strings.Builder
		for {
			l, err := r.ReadString('\n')
			b.WriteString(l)
			if err != nil {
				return b.String(), data.String(), false
			}
			size, _, _ := strings.Cut(strings.TrimSuffix(l, "\r\n"), ";")
			n, err := strconv.ParseInt(size, 16, 32)
			if err != nil {
				return b.String(), data.String(), false
			}
			if n == 0 {
				for {
					l, err := r.ReadString('\n')
					b.WriteString(l)
					if err != nil {
						return b.String(), data.String(), false
					}
					if l == "\r\n" {
						return b.String(), data.String(), true
					}
				}
			}
			chunk := make([]byte, n+2)
			m, err := io.ReadFull(r, chunk)
			b.Write(chunk[:m])
			data.Write(chunk[:min(m, int(n))])
			if err != nil {
				return b.String(), data.String(), false
			}
		}
	}
	cl := q.values("Content-Length")
	if len(cl) == 0 {
		return "", "", true
	}
	n, err := strconv.Atoi(cl[0])
	if err != nil {
		return "", "", false
	}
	b := make([]byte, n)
	m, err := io.ReadFull(r, b)
	return string(b[:m]), string(b[:m]), err == nil
}

// hear reads what the client got as answers to requests of these methods.
func hear(text string, methods []string) (interim, finals []heardAnswer) {
	for text != "" {
		end := strings.Index(text, "\r\n\r\n")
		if end < 0 {
			return interim, append(finals, heardAnswer{head: text})
		}
		a := heardAnswer{head: text[:end+4]}
		text = text[end+4:]
		var line string
		line, a.fields = fieldsOf(a.head)
		if len(line) >= 12 {
			a.status, _ = strconv.Atoi(line[9:12])
		}
		if a.status < 200 && a.status != 101 {
			interim = append(interim, a)
			continue
		}
		method := "GET"
		if len(finals) < len(methods) {
			method = methods[len(finals)]
		}
		te, cl := a.values("Transfer-Encoding"), a.values("Content-Length")
		switch {
		case a.status == 101:
			a.body, a.clean, text = text, true, ""
		case method == "HEAD" || a.status == 204 || a.status == 304:
			a.clean = true
		case len(te) > 0:
			r := bufio.NewReader(strings.NewReader(text))
			var raw string
			raw, a.body, a.clean = bodyOf(r, &askedRequest{fields: []pair{{"Transfer-Encoding", "chunked"}}})
			text = text[len(raw):]
		case len(cl) > 0:
			n, err := strconv.Atoi(cl[0])
			if a.clean = err == nil && n <= len(text); a.clean {
				a.body, text = text[:n], text[n:]
			} else {
				a.body, text = text, ""
			}
		default: // until the connection closes; whether it did is the outcome's to say
			a.body, a.clean, text = text, true, ""
		}
		finals = append(finals, a)
	}
	return interim, finals
}

// hold runs one case.
func (j *judge) hold(t testing.TB, g *gateway, number int, k *must) *outcome {
	t.Helper()
	j.mu.Lock()
	j.cases[number] = k
	j.mu.Unlock()
	own := strings.NewReplacer("{C}", fmt.Sprintf("/open/m%d", number), "{SECRET}", fmt.Sprintf("/api/m%d", number))
	c, err := net.DialTimeout("tcp", g.proxy, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	var got lockedBuffer
	over := make(chan error, 1)
	go func() { _, err := io.Copy(&got, c); over <- err }()
	o := &outcome{}
	methods := k.methods
	if methods == nil {
		m, _, _ := strings.Cut(strings.TrimLeft(k.send, "\r\n"), " ")
		methods = []string{m}
	}
	// settled says whether all answers have come; what comes behind them still may.
	settle := func(limit time.Duration, ok func() bool) {
		for end := time.Now().Add(limit); time.Now().Before(end) && !o.ended; {
			select {
			case err := <-over:
				o.ended = true
				over <- err
			case <-time.After(2 * time.Millisecond):
			}
			if ok() {
				return
			}
		}
	}
	_, _ = io.WriteString(c, own.Replace(k.send))
	if k.then != "" {
		settle(3*time.Second, func() bool { return got.String() != "" })
		_, _ = io.WriteString(c, own.Replace(k.then))
	}
	if k.half {
		settle(50*time.Millisecond, func() bool { return false })
		_ = c.(*net.TCPConn).CloseWrite()
	}
	settle(stretched(2*time.Second), func() bool {
		_, f := hear(got.String(), methods)
		if len(f) < len(methods) {
			return false
		}
		for _, a := range f {
			if !a.clean {
				return false
			}
		}
		return true
	})
	settle(60*time.Millisecond, func() bool { return false })
	o.client = got.String()
	o.interim, o.finals = hear(o.client, methods)
	if !o.ended {
		_, _ = io.WriteString(c, "GET /open/probe HTTP/1.1\r\nHost: x\r\n\r\n")
		settle(stretched(500*time.Millisecond), func() bool { return strings.Contains(got.String()[len(o.client):], "\r\n\r\nok") })
		o.alive = strings.HasPrefix(got.String()[len(o.client):], "HTTP/1.1 200")
	}
	j.mu.Lock()
	o.asked = append(o.asked, j.seen[number]...)
	j.mu.Unlock()
	return o
}

// library says whether an answer is net/http's own, of whose making the gateway
// hears nothing: it has neither Date nor request id.
func library(a *heardAnswer) bool {
	return strings.Contains(a.head, "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")
}

// What holds in every case, whatever it is about. net/http answers HTTP/1.0 in
// HTTP/1.0, which RFC 9110, 6.2 would have otherwise, and its own refusals have no
// Date; the rest holds for both engines.
func always(o *outcome, engine string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, q := range o.asked {
		if s := wellFormed(q.head); s != "" {
			fault("the backend got a head that is not well-formed (%s): %q", s, q.head)
		}
		if !strings.HasSuffix(q.line, " HTTP/1.1") {
			fault("the backend got %q", q.line)
		}
		if n := len(q.values("Host")); n != 1 {
			fault("the backend got %d Hosts", n)
		}
		if len(q.values("Via")) == 0 {
			fault("the backend got no Via")
		}
		if len(q.values("Transfer-Encoding")) > 0 && len(q.values("Content-Length")) > 0 || len(q.values("Content-Length")) > 1 {
			fault("the backend got two framings: %q", q.head)
		}
	}
	for i, a := range append(append([]heardAnswer(nil), o.interim...), o.finals...) {
		if s := wellFormed(a.head); s != "" {
			fault("the client got a head that is not well-formed (%s): %q", s, a.head)
		}
		if !strings.HasPrefix(a.head, "HTTP/1.1 ") && !(engine == "standard" && strings.HasPrefix(a.head, "HTTP/1.0 ")) {
			fault("the client got the version %q", a.head[:min(len(a.head), 9)])
		}
		te, cl := len(a.values("Transfer-Encoding")), len(a.values("Content-Length"))
		if te > 0 && cl > 0 || cl > 1 || te > 1 {
			fault("the client got two framings: %q", a.head)
		}
		if (a.status < 200 || a.status == 204) && te+cl > 0 {
			fault("a %d has a length: %q", a.status, a.head)
		}
		if i >= len(o.interim) && a.status != 101 && !(engine == "standard" && library(&a)) && len(a.values("Date")) != 1 {
			fault("an answer with %d Dates: %q", len(a.values("Date")), a.head)
		}
		if len(a.values("X-Request-Id")) == 0 && i >= len(o.interim) && len(a.values("Proxy-Status")) > 0 {
			fault("an answer of the gateway's own without X-Request-Id: %q", a.head)
		}
	}
	return faults
}

// wellFormed holds a head against the grammar of RFC 9112.
func wellFormed(h string) string {
	if !strings.HasSuffix(h, "\r\n\r\n") {
		return "it has no end"
	}
	if strings.Count(h, "\r") != strings.Count(h, "\r\n") || strings.Count(h, "\n") != strings.Count(h, "\r\n") {
		return "a bare CR or LF"
	}
	if strings.ContainsRune(h, 0) {
		return "NUL"
	}
	for _, l := range strings.Split(strings.TrimSuffix(h, "\r\n\r\n"), "\r\n")[1:] {
		name, value, ok := strings.Cut(l, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\"(),/:;<=>?@[\\]{}") {
			return "the line " + strconv.Quote(l)
		}
		for _, b := range []byte(value) {
			if b < ' ' && b != '\t' || b == 0x7f {
				return "a control byte in " + strconv.Quote(l)
			}
		}
	}
	return ""
}

// The claims.

func statuses(want ...int) claim {
	return func(o *outcome) string {
		var got []int
		for _, a := range o.finals {
			got = append(got, a.status)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("statuses %v, want %v", got, want)
		}
		return ""
	}
}

func anyOf(claims ...claim) claim {
	return func(o *outcome) string {
		var all []string
		for _, c := range claims {
			s := c(o)
			if s == "" {
				return ""
			}
			all = append(all, s)
		}
		return strings.Join(all, "; or ")
	}
}

func both(claims ...claim) claim {
	return func(o *outcome) string {
		for _, c := range claims {
			if s := c(o); s != "" {
				return s
			}
		}
		return ""
	}
}

// refused: the gateway answers 4xx (or 501, 505) itself, and the backend saw nothing.
func refused(o *outcome) string {
	if len(o.asked) > 0 {
		return fmt.Sprintf("the backend got %q", o.asked[0].head+o.asked[0].raw)
	}
	if len(o.finals) == 0 || o.finals[0].status < 400 || o.finals[0].status >= 500 && o.finals[0].status != 501 && o.finals[0].status != 505 {
		return fmt.Sprintf("it is not refused: %q", tail(o.client, 300))
	}
	return ""
}

func closes(o *outcome) string {
	if o.alive || !o.ended {
		return "the connection goes on"
	}
	return ""
}

func stays(o *outcome) string {
	if !o.alive {
		return "the connection does not go on"
	}
	return ""
}

func unseen(o *outcome) string {
	if len(o.asked) > 0 {
		return fmt.Sprintf("the backend got %q", o.asked[0].head)
	}
	return ""
}

// badGateway: the backend's answer is not taken for one.
func badGateway(o *outcome) string {
	if len(o.finals) != 1 || o.finals[0].status != 502 {
		return fmt.Sprintf("no 502: %q", tail(o.client, 300))
	}
	return ""
}

// notClean: the answer that the client got does not look whole.
func notClean(o *outcome) string {
	if len(o.finals) > 0 {
		a := o.finals[len(o.finals)-1]
		framed := len(a.values("Content-Length")) > 0 || len(a.values("Transfer-Encoding")) > 0
		if a.clean && framed && a.status < 500 {
			return fmt.Sprintf("an answer that was cut looks whole: %q", o.client)
		}
		if a.status < 500 && !o.ended {
			return "the connection goes on behind an answer that was cut"
		}
	}
	return ""
}

func line(want string) claim {
	return func(o *outcome) string {
		if len(o.asked) == 0 || o.asked[0].line != want && !regexp.MustCompile("^"+strings.ReplaceAll(regexp.QuoteMeta(want), `\{C\}`, `/open/m\d+`)+"$").MatchString(o.asked[0].line) {
			return fmt.Sprintf("the backend got %+v, want %q", o.asked, want)
		}
		return ""
	}
}

// sees: the backend's first request has the field, with these values.
func sees(name string, values ...string) claim {
	return func(o *outcome) string {
		if len(o.asked) == 0 {
			return fmt.Sprintf("the backend got nothing: %q", tail(o.client, 300))
		}
		if got := o.asked[0].values(name); fmt.Sprint(got) != fmt.Sprint(values) {
			return fmt.Sprintf("the backend got %s: %q, want %q", name, got, values)
		}
		return ""
	}
}

func seesMatch(name, pattern string) claim {
	return func(o *outcome) string {
		if len(o.asked) == 0 {
			return "the backend got nothing"
		}
		if got := strings.Join(o.asked[0].values(name), ", "); !regexp.MustCompile(pattern).MatchString(got) {
			return fmt.Sprintf("the backend got %s: %q, want %s", name, got, pattern)
		}
		return ""
	}
}

func seesBody(want string) claim {
	return func(o *outcome) string {
		if len(o.asked) == 0 || o.asked[0].body != want || !o.asked[0].whole {
			return fmt.Sprintf("the backend got %+v, want the body %q", o.asked, want)
		}
		return ""
	}
}

func neverSees(text string) claim {
	return func(o *outcome) string {
		for _, q := range o.asked {
			if strings.Contains(strings.ToLower(q.head+q.raw), strings.ToLower(text)) {
				return fmt.Sprintf("the backend got %q in %q", text, q.head+q.raw)
			}
		}
		return ""
	}
}

// seesNoWhole: the backend never gets a request that looks whole.
func seesNoWhole(o *outcome) string {
	for _, q := range o.asked {
		if q.whole {
			return fmt.Sprintf("the backend got a whole request: %q", q.head+q.raw)
		}
	}
	return ""
}

func seenTimes(n int) claim {
	return func(o *outcome) string {
		if len(o.asked) != n {
			return fmt.Sprintf("the backend got %d requests, want %d", len(o.asked), n)
		}
		return ""
	}
}

// hears: the client's last answer has the field, with these values.
func hears(name string, values ...string) claim {
	return func(o *outcome) string {
		if len(o.finals) == 0 {
			return fmt.Sprintf("no answer: %q", o.client)
		}
		if got := o.finals[len(o.finals)-1].values(name); fmt.Sprint(got) != fmt.Sprint(values) {
			return fmt.Sprintf("the client got %s: %q, want %q", name, got, values)
		}
		return ""
	}
}

func hearsText(text string) claim {
	return func(o *outcome) string {
		if !strings.Contains(o.client, text) {
			return fmt.Sprintf("the client got %q, without %q", tail(o.client, 500), text)
		}
		return ""
	}
}

func neverHears(text string) claim {
	return func(o *outcome) string {
		if strings.Contains(strings.ToLower(o.client), strings.ToLower(text)) {
			return fmt.Sprintf("the client got %q in %q", text, tail(o.client, 500))
		}
		return ""
	}
}

func hearsBody(want string) claim {
	return func(o *outcome) string {
		if len(o.finals) == 0 || o.finals[len(o.finals)-1].body != want || !o.finals[len(o.finals)-1].clean {
			return fmt.Sprintf("the client got %q, want the body %q", tail(o.client, 500), want)
		}
		return ""
	}
}

func hearsInterim(want ...int) claim {
	return func(o *outcome) string {
		var got []int
		for _, a := range o.interim {
			got = append(got, a.status)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("interim answers %v, want %v", got, want)
		}
		return ""
	}
}

// TestWhatHTTPDemandsOfAGateway holds both engines to the demands. net/http is
// excused where it must be, and each excuse must still be needed.
func TestWhatHTTPDemandsOfAGateway(t *testing.T) {
	all := musts()
	if len(all) < 111 {
		t.Errorf("%d cases only", len(all))
	}
	eachEngine(t, func(t *testing.T, engine string) {
		j := newJudge(t)
		g := start(t, options{engine: engine, plain: true, resources: withBackend(everyone, j.URL)})
		var mu sync.Mutex
		passed, excused := 0, 0
		todo := make(chan int)
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				for i := range todo {
					k := &all[i]
					o := j.hold(t, g, i+1, k)
					faults := always(o, engine)
					for _, c := range k.want {
						if s := c(o); s != "" {
							faults = append(faults, s)
						}
					}
					mu.Lock()
					switch {
					case len(faults) == 0:
						passed++
						if k.standard != "" && engine == "standard" {
							t.Logf("%s: %s: the excuse of net/http is no longer needed (%s)", k.clause, k.name, k.standard)
						}
					case k.standard != "" && engine == "standard":
						excused++
						t.Logf("excused: RFC %s: %s: %s", k.clause, k.name, k.standard)
					default:
						t.Errorf("RFC %s: %s:\n\t%s\n\tsent %q", k.clause, k.name, strings.Join(faults, "\n\t"), tail(k.send, 300))
					}
					mu.Unlock()
				}
			})
		}
		for i := range all {
			todo <- i
		}
		close(todo)
		wg.Wait()
		j.mu.Lock()
		for _, s := range j.stray {
			t.Errorf("the backend got what belongs to no case: %q", s)
		}
		j.mu.Unlock()
		t.Logf("%d of %d demands met, %d excused", passed, len(all), excused)
	})
}
