//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/h2/h2test"
)

// crossed is a demand's request as HTTP/2 has it.
type crossed struct {
	head []string
	body string
}

// overHTTP2 translates the request of a demand; false = HTTP/2 cannot say it, or it
// is about what HTTP/2 does in another way.
func overHTTP2(k *must, own *strings.Replacer) (crossed, bool) {
	send, body, whole := strings.Cut(own.Replace(k.send), "\r\n\r\n")
	body += own.Replace(k.then)
	first, fields := fieldsOf(send)
	parts := strings.Split(first, " ")
	if !whole || k.version || k.half || k.methods != nil || len(parts) != 3 || parts[2] != "HTTP/1.1" || wellFormed(send+"\r\n\r\n") != "" {
		return crossed{}, false
	}
	x := crossed{head: []string{":method", parts[0], ":scheme", "https", ":path", parts[1], ":authority", "x"}, body: body}
	length := ""
	for _, f := range fields {
		switch name := strings.ToLower(f.name); name {
		case "host":
		case "connection":
			if f.value != "TE" && f.value != "close" && f.value != "keep-alive" {
				return x, false
			}
		case "transfer-encoding", "upgrade", "keep-alive", "proxy-connection":
			return x, false
		case "content-length":
			length = f.value
			fallthrough
		default:
			x.head = append(x.head, name, f.value)
		}
	}
	return x, length == "" && body == "" || length == fmt.Sprint(len(body)) || k.early
}

// holdOverHTTP2 runs one case on a connection of its own. A stream that is reset is
// to its client what a connection that closes is to one of HTTP/1.1.
func (j *judge) holdOverHTTP2(t *testing.T, g *gateway, number int, k *must, x crossed) *outcome {
	t.Helper()
	j.mu.Lock()
	j.cases[number] = k
	j.mu.Unlock()
	nc, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", g.proxy, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	c := h2test.New(t, nc)
	c.Hello()
	c.Request(1, x.body == "" && !k.early, x.head...)
	if x.body != "" {
		if k.then != "" { // it waits to be told to go on
			time.Sleep(30 * time.Millisecond)
		}
		c.Frame(http2.FrameData, h2test.EndStream, 1, []byte(x.body)...)
	}
	o := &outcome{}
	for over := false; !over; {
		e := c.Next()
		switch {
		case e.Kind == "closed" || e.Kind == "silence" || e.Kind == "goaway" || e.Kind == "rst" && e.Stream == 1:
			o.ended, over = true, true
		case e.Stream != 1:
		case e.Kind == "headers" && len(o.finals) > 0: // trailers
			over = true
			o.finals[0].clean = true
			o.client += e.Fields
		case e.Kind == "headers":
			a := heardAnswer{clean: e.End}
			_, _ = fmt.Sscanf(e.Fields, ":status: %d\n", &a.status)
			_, rest, _ := strings.Cut(e.Fields, "\n")
			for f := range strings.Lines(rest) {
				name, value, _ := strings.Cut(strings.TrimSuffix(f, "\n"), ": ")
				a.fields = append(a.fields, pair{http.CanonicalHeaderKey(name), value})
			}
			a.head = fmt.Sprintf("HTTP/1.1 %d \r\n", a.status)
			for _, f := range a.fields {
				a.head += f.name + ": " + f.value + "\r\n"
			}
			a.head += "\r\n"
			o.client += a.head
			if a.status < 200 {
				o.interim = append(o.interim, a)
				continue
			}
			o.finals, over = append(o.finals, a), e.End
		case e.Kind == "data":
			a := &o.finals[0]
			a.body += e.Data
			o.client += e.Data
			a.clean, over = e.End, e.End
		}
	}
	o.alive = probe(c)
	j.mu.Lock()
	defer j.mu.Unlock()
	o.asked = append(o.asked, j.seen[number]...)
	return o
}

// probe says whether another request is answered on the connection.
func probe(c *h2test.Client) bool {
	if c.Fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, EndStream: true, EndHeaders: true,
		BlockFragment: c.Block(":method", "GET", ":scheme", "https", ":path", "/open/probe", ":authority", "x")}) != nil {
		return false
	}
	for {
		switch e := c.Next(); {
		case e.Kind == "closed" || e.Kind == "silence":
			return false
		case e.Kind == "headers" && e.Stream == 3:
			return strings.HasPrefix(e.Fields, ":status: 200\n")
		}
	}
}

// TestWhatHTTPDemandsOfAGatewayOverHTTP2 holds it to all that can be asked so.
func TestWhatHTTPDemandsOfAGatewayOverHTTP2(t *testing.T) {
	var all []must
	for _, list := range [][]must{aboutForwarding(), aboutExpect(), aboutAnswers(), aboutBodies(), aboutOurOwn()} {
		all = append(all, list...)
	}
	j := newJudge(t)
	g := start(t, options{resources: withBackend(everyone, j.URL)})
	asked := 0
	t.Run("all", func(t *testing.T) {
		for i := range all {
			k := &all[i]
			x, ok := overHTTP2(k, strings.NewReplacer("{C}", fmt.Sprintf("/open/m%d", i+1), "{SECRET}", fmt.Sprintf("/api/m%d", i+1)))
			if !ok {
				continue
			}
			asked++
			t.Run(k.clause+" "+k.name, func(t *testing.T) {
				t.Parallel()
				o := j.holdOverHTTP2(t, g, i+1, k, x)
				faults := always(o, "own")
				for _, c := range k.want {
					if s := c(o); s != "" {
						faults = append(faults, s)
					}
				}
				if len(faults) > 0 {
					t.Errorf("RFC %s: %s:\n\t%s\n\tsent %q", k.clause, k.name, strings.Join(faults, "\n\t"), x.head)
				}
			})
		}
	})
	if asked < 90 {
		t.Errorf("%d demands only", asked)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.stray {
		t.Errorf("the backend got what belongs to no case: %q", s)
	}
}
