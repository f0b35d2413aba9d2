package h1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// smuggled is the request that must never arrive: the gate refuses it whenever it
// is asked.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// framings are spellings of what frames a body: correct ones, and every way we know
// to say it so that two readers disagree.
func framings(n int) []string {
	cl := []string{
		"Content-Length: %d", "content-length:%d", "Content-Length: \t%d ", "Content-Length : %d", "Content-Length\t: %d", "Content-Length:\r\n %d",
		" Content-Length: %d", "\tContent-Length: %d", "Content-Length: +%d", "Content-Length: -%d", "Content-Length: 0%d", "Content-Length: 0x%x", "Content-Length: %d,%[1]d",
		"Content-Length: %d, 0", "Content-Length: 0, %d", "Content-Length: %d;x", "Content-Length: %d.0", "Content-Length: %de0", "Content-Length: '%d'",
		"Content-Length: \"%d\"", "Content-Length: %d\x00", "Content-Length: \x00%d", "Content-Length: %d\x0b", "Content-Length: \x0b%d", "Content-Length: \x0c%d",
		"Content-Length: %d\xa0", "Content-Length: \xc2\xa0%d", "Content-Length: %d\r", "Content-Length: %d\nX: y", "Content-Length: %d\rX: y", "\x00Content-Length: %d",
		"Content-Length\x00: %d", "Content\x00Length: %d", "Content_Length: %d", "Content.Length: %d", "Content-Length:: %d", ": Content-Length: %d", "X: y\nContent-Length: %d",
		"X: y\rContent-Length: %d", "X: y\r\n\tContent-Length: %d", "Content-Length: %d\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: %d",
		"Content-Length: %d\r\ncontent-length: %[1]d", "Content-Length: 18446744073709551616%d", "Content-Length: ", "Content-Length", "Content-Length %d",
		"HTTP_Content_Length: %d", "Connection: Content-Length\r\nContent-Length: %d", "Content-Length: 0\r\nConnection: Content-Length",
	}
	te := []string{
		"Transfer-Encoding: chunked", "transfer-encoding:CHUNKED", "Transfer-Encoding: \tchunked ", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
		"Transfer-Encoding:\r\n chunked", "Transfer-Encoding: \r\n\tchunked", " Transfer-Encoding: chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx",
		"Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked",
		"Transfer-Encoding: chunked, gzip", "Transfer-Encoding: chunked,", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding: 'chunked'", "Transfer-Encoding: chunked\x00", "Transfer-Encoding: \x00chunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x0c",
		"Transfer-Encoding: \xa0chunked", "Transfer-Encoding: chunked\xff", "Transfer-Encoding: chun\xe2\x84\xaaed", "Transfer-Encoding: chunked\r", "Transfer-Encoding: chunked\nX: y",
		"Transfer-Encoding: chunked\rX: y", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "Transfer_Encoding: chunked", "Transfer.Encoding: chunked",
		"Transfer-Encoding:: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: \r\nTransfer-Encoding: chunked", "Transfer-Encoding: ", "Transfer-Encoding", "Transfer-Encoding chunked",
		"TE: chunked", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "HTTP_TRANSFER_ENCODING: chunked", "Transfer-\x00Encoding: chunked", "Tra\rnsfer-Encoding: chunked",
		"\rTransfer-Encoding: chunked", "Foo: bar\r\n\rTransfer-Encoding: chunked", "Transfer-Encoding: chunked, chunked", "Transfer-encoding: cow",
	}
	out := make([]string, 0, len(cl)+len(te)+1)
	for _, s := range cl {
		if strings.Contains(s, "%") {
			s = fmt.Sprintf(s, n)
		}
		out = append(out, s)
	}
	return append(append(out, te...), "X: y")
}

// pairs are all pairs of framing oddities, each before a body that means different
// things to readers that disagree.
func pairs() (all []string) {
	bodies := []string{
		"0\r\n\r\n" + smuggled, // whole for Content-Length, ended early for chunked
		fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled), // and the reverse
	}
	for _, body := range bodies {
		list := framings(len(body))
		for i, a := range list {
			for j, b := range list {
				if i != j {
					all = append(all, "POST /a HTTP/1.1\r\nHost: x\r\n"+a+"\r\n"+b+"\r\n\r\n"+body)
				}
			}
		}
	}
	return all
}

// specials are byte sequences that some reader takes for the end of something.
var specials = []string{"\r", "\n", "\r\n", "\n\r", "\r\r\n", "\r\n\r\n", "\n\n", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\xc2\x85", "\xe2\x80\xa8", " ", "\t", ":", ",", ";", "\\", "\x7f",
	"\r\n ", "\r\n\t", "\r\n" + smuggled, "\n" + smuggled, "\r\n\r\n" + smuggled, "\n\n" + smuggled}

// inserted puts each special at each place of an ordinary request.
func inserted() (all []string) {
	for _, base := range []string{
		"POST /a?b HTTP/1.1\r\nHost: x\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: u\r\n\r\n",
	} {
		for i := range base {
			for _, s := range specials {
				all = append(all, base[:i]+s+base[i:], base[:i]+s+base[i+1:])
			}
		}
	}
	return all
}

// chunkings are odd chunks round a request.
func chunkings() (all []string) {
	n := len(smuggled)
	sizes := []string{"%x", "%X", "0%x", "000000000000000%x", "0000000000000000000%x", "0x%x", "-%x", "+%x", " %x", "%x ", "\t%x", "%x\t", "%x;a", "%x;a=b", "%x;a=\"b\"", "%x;a=\"\n\"", "%x;a=\"\r\n\"",
		"%x;\n", "%x;a\n", "%x;\r", "%x;a\rb", "%x\x00", "%x;\x00", "%x;", "%x;;", "%x,0", "%x.0", "%x_0", "%xg", "1%016x", "ffffffffffffff%02x", "80000000000000%02x", "%xh", "'%x'", "\"%x\"", "%x\x0b", "%x ;a", "%x ; a = b",
		"", "0x", ";a", "g", "%x\r\n0", "0\r\n%x", "%x;a=b\xff", "%x \x0c"}
	ends := []string{"\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", "", "\x00\r\n"}
	for _, s := range sizes {
		if strings.Contains(s, "%") {
			s = fmt.Sprintf(s, n)
		}
		for _, a := range ends {
			for _, b := range ends {
				all = append(all, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+s+a+smuggled+b+"0\r\n\r\n")
			}
			all = append(all, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"+s+a+smuggled)
		}
	}
	for _, a := range ends {
		for _, b := range ends {
			for _, trailer := range []string{"", "X: y", "Content-Length: 50", "Transfer-Encoding: chunked", "Host: y", "GET /smuggled HTTP/1.1", "X : y", " X: y", "X: y\r\n z", ": y", "X: y\n" + smuggled, "X: y\r\n\n" + smuggled} {
				all = append(all, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0"+a+trailer+b+"\r\n"+smuggled)
			}
		}
	}
	return all
}

// games are requests within requests by other means: early data behind an upgrade,
// Expect, HEAD, HTTP/1.0, methods that some give no body, and absolute targets.
func games() (all []string) {
	body := smuggled
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE", "CONNECT", "PRI", "M-SEARCH"} {
		for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
			for _, extra := range []string{"", "Expect: 100-continue\r\n", "Expect: 100-continue, x\r\n", "Expect:  100-CONTINUE \r\n", "Expect: x\r\n", "Expect: 100-continue\r\nExpect: 100-continue\r\n",
				"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
				"Connection: close, keep-alive\r\n", "X-HTTP-Method-Override: POST\r\n", "Connection: Host\r\n", "Max-Forwards: 0\r\n"} {
				for _, frame := range []string{"", fmt.Sprintf("Content-Length: %d\r\n", len(body)), "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"} {
					b := body
					if strings.HasPrefix(frame, "T") {
						b = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
					}
					for _, target := range []string{"/a", "http://x/a", "*"} {
						all = append(all, method+" "+target+" "+version+"\r\nHost: x\r\n"+extra+frame+"\r\n"+b)
					}
				}
			}
		}
	}
	return all
}

// reader is one way to read what a target was sent; the many lenient ones stand for
// the servers that exist.
type reader struct {
	name      string
	lf        bool // a bare LF ends a line
	cr        bool // and a bare CR
	last      bool // the last Content-Length counts, else the first
	loose     bool // any Transfer-Encoding that has "chunked" in it counts
	length    bool // Content-Length wins over Transfer-Encoding
	under     bool // _ is - in names
	hexPrefix bool // a chunk's size is read as far as it makes sense
}

var readers = []reader{
	{name: "plain"}, {name: "lenient with line endings", lf: true, last: true, loose: true}, {name: "lenient with CR", lf: true, cr: true, loose: true, hexPrefix: true},
	{name: "Content-Length first", lf: true, length: true, under: true}, {name: "knows no chunks but by Content-Length", lf: true, length: true, last: true, loose: true, under: true},
	{name: "loose with everything", lf: true, last: true, loose: true, under: true, hexPrefix: true},
}

type line struct{ request, id string }

// read gives the requests that the reader finds in b; a rest that is no whole
// request is one too.
func (r *reader) read(b string) (all []line) {
	for b != "" {
		var l line
		var fields []string
		l.request, b = r.line(b)
		for {
			var f string
			if f, b = r.line(b); f == "" {
				break
			}
			fields = append(fields, f)
		}
		length, chunked, seen := 0, false, false
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ":")
			space := " \t"
			if r.loose {
				space = " \t\r\x00\x0b\x0c\x85\xa0"
			}
			name, value = strings.ToLower(strings.Trim(name, space)), strings.Trim(value, space)
			if r.under {
				name = strings.ReplaceAll(name, "_", "-")
			}
			switch {
			case name == "x-request-id":
				l.id = value
			case name == "content-length" && (!seen || r.last):
				seen = true
				_, _ = fmt.Sscanf(value, "%d", &length)
			case name == "transfer-encoding" && (value == "chunked" || r.loose && strings.Contains(strings.ToLower(value), "chunked")):
				chunked = true
			}
		}
		all = append(all, l)
		switch {
		case chunked && (!r.length || !seen):
			b = r.chunks(b)
		default:
			b = b[min(max(length, 0), len(b)):]
		}
	}
	return all
}

func (r *reader) line(b string) (l, rest string) {
	for i := range len(b) {
		switch {
		case b[i] == '\n' && (r.lf || i > 0 && b[i-1] == '\r'):
			return strings.TrimSuffix(b[:i], "\r"), b[i+1:]
		case r.cr && b[i] == '\r' && i+1 < len(b) && b[i+1] != '\n':
			return b[:i], b[i+1:]
		}
	}
	return b, ""
}

func (r *reader) chunks(b string) string {
	for {
		var l string
		l, b = r.line(b)
		n := 0
		if l, _, _ = strings.Cut(l, ";"); r.hexPrefix {
			l = strings.TrimPrefix(strings.Trim(l, " \t+"), "0x")
		}
		_, _ = fmt.Sscanf(l, "%x", &n)
		if n <= 0 || n >= len(b) {
			break
		}
		b = b[n:]
		_, b = r.line(b)
	}
	for {
		var l string
		if l, b = r.line(b); l == "" {
			return b
		}
	}
}

// keeper refuses what is smuggled, wherever it is asked.
func keeper(s *setup) {
	s.Before = func(ex *gate.Exchange) {
		if ex.Err == nil && strings.Contains(ex.Target, "smuggled") {
			ex.Err, ex.Step = model.NewError(model.PermissionDenied, "No."), gate.StepAuthorise
		}
	}
}

func TestNoTargetSeesARequestThatWasNotDecidedOn(t *testing.T) {
	families := map[string][]string{"pairs": pairs(), "inserted": inserted(), "chunkings": chunkings(), "games": games()}
	for name, list := range families {
		t.Run(name, func(t *testing.T) {
			x := newTarget(t, nil)
			g := start(t, x.addr(), keeper, limits(Config{HeaderTimeout: time.Second, IdleTimeout: time.Second}))
			if testing.Short() {
				list = thin(list, 10)
			}
			served := attack(t, g, list)
			judge(t, g, x)
			t.Logf("%d attempts, %d of them had their first request served", len(list), served)
		})
	}
}

func thin(list []string, by int) (out []string) {
	for i := 0; i < len(list); i += by {
		out = append(out, list[i])
	}
	return out
}

// attack sends each attempt on a connection of its own, a good request behind it,
// and looks at what is answered: never a fault of ours, and every refusal of what
// is malformed is a problem that ends the connection.
func attack(t *testing.T, g *rig, list []string) (served int) {
	work := make(chan string)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for raw := range work {
				answers, fault := g.attempt(raw)
				mu.Lock()
				if fault != "" {
					t.Errorf("%s: %q", fault, raw)
				}
				if len(answers) > 0 && answers[0] == 200 {
					served++
				}
				mu.Unlock()
			}
		})
	}
	for _, raw := range list {
		work <- raw
		if t.Failed() {
			break
		}
	}
	close(work)
	all.Wait()
	return served
}

func (g *rig) attempt(raw string) (answers []int, fault string) {
	nc, err := net.Dial("tcp", g.Host)
	if err != nil {
		return nil, err.Error()
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	go func() {
		_, _ = io.WriteString(nc, raw+"GET /probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		_ = nc.(*net.TCPConn).CloseWrite()
	}()
	method, _, _ := strings.Cut(raw, " ")
	br := bufio.NewReader(nc)
	for {
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			if n, ok := err.(net.Error); ok && n.Timeout() {
				return answers, "it hangs"
			}
			return answers, ""
		}
		b, err := io.ReadAll(res.Body)
		if res.StatusCode >= 100 && res.StatusCode < 200 {
			continue
		}
		method = "GET"
		answers = append(answers, res.StatusCode)
		switch {
		case res.StatusCode >= 500:
			return answers, "a fault of the client's is answered with " + res.Status
		case res.Header.Get("X-Request-Id") == "":
			return answers, "an answer without X-Request-Id"
		case res.StatusCode == 400 && strings.Contains(string(b), "path_ambiguous"): // understood, and refused
		case res.StatusCode == 400 || res.StatusCode == 414 || res.StatusCode == 431:
			if err != nil || res.Header.Get("Content-Type") != "application/problem+json" && len(b) > 0 || !res.Close {
				return answers, fmt.Sprintf("%s does not close, or is no problem: %v %s", res.Status, res.Header, b)
			}
			if n, _ := br.Peek(1); len(n) > 0 {
				return answers, "something follows a " + res.Status
			}
		}
	}
}

// judge reads what the target saw in every way: all readers must find the same
// requests, and each must be one that was decided on and allowed, once.
func judge(t *testing.T, g *rig, x *target) {
	t.Helper()
	allowed := map[string]doortest.Decision{}
	for _, d := range g.Decisions() {
		if d.Code == model.Allowed {
			allowed[d.ID] = d
		}
	}
	seen := map[string]bool{}
	n := 0
	for _, b := range x.bytes() {
		first := readers[0].read(b)
		for i := range readers[1:] {
			r := &readers[1+i]
			if other := r.read(b); fmt.Sprint(other) != fmt.Sprint(first) {
				t.Fatalf("readers disagree (%s):\n%q\n%v\n%v", r.name, b, first, other)
			}
		}
		for _, l := range first {
			n++
			d, ok := allowed[l.id]
			if !ok || seen[l.id] || l.request != d.Method+" "+d.Target+" HTTP/1.1" || strings.Contains(l.request, "smuggled") {
				t.Fatalf("the target saw %q, decided on was %+v (%v, seen before %v)", l.request, d, ok, seen[l.id])
			}
			seen[l.id] = true
		}
	}
	if n == 0 {
		t.Error("the target saw nothing at all")
	}
	t.Logf("the target saw %d requests", n)
}

func TestTheReadersWouldNoticeWhatPassesUnchanged(t *testing.T) {
	for name, b := range map[string]string{
		"both framings":   "POST / HTTP/1.1\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"two lengths":     "POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n" + smuggled,
		"a bare LF":       "GET / HTTP/1.1\r\nX: y\n\n" + smuggled,
		"a bare CR":       "GET / HTTP/1.1\r\nX: y\r\r\n" + smuggled + "\r\n",
		"a hidden coding": "POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n23\r\n" + smuggled + "\r\n0\r\n\r\n",
		"an underscore":   "POST / HTTP/1.1\r\nContent_Length: 35\r\n\r\n" + smuggled,
		"a prefixed size": "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x23\r\n" + smuggled + "\r\n0\r\n\r\n",
	} {
		found := map[string]bool{}
		for i := range readers {
			found[fmt.Sprint(readers[i].read(b))] = true
		}
		if len(found) < 2 {
			t.Errorf("%s: all readers agree on %v", name, found)
		}
	}
}
