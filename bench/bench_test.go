package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheMedianIsTheMiddleAndOfTwoTheMean(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.in); got != c.want {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestARatioIsOfTheSameRoundAndWhatIsVoidDoesNotCount(t *testing.T) {
	r := &result{Unit: "µs", Beside: "itself", Asked: &bound{Factor: 1.1, Of: base}}
	r.add(base, 10, 20, 30) // the machine slows down
	r.add(own, 11, 22, 33)
	if got, ok := r.ratio(own, base); !ok || math.Abs(got-1.1) > 1e-9 {
		t.Errorf("%v %v", got, ok)
	}
	r.void(base, os.ErrInvalid)
	if _, ok := r.ratio(own, base); ok || r.reached() != "" || r.cell(base) != "void" {
		t.Errorf("a void base counts: %q %q", r.reached(), r.cell(base))
	}
}

func TestABoundIsReachedOrNot(t *testing.T) {
	for _, c := range []struct {
		name          string
		own           float64
		asked         bound
		text, reached string
	}{
		{"the better of both peers", 18, bound{Factor: 0.95, Of: "peers"}, "≤ 0.95 × the better of nginx and HAProxy", "yes: 0.90 ×"},
		{"not against HAProxy", 70, bound{Factor: 2, Of: haproxy}, "≤ 2 × HAProxy", "**no**: 2.33 ×"},
		{"so many units", 4.2, bound{Units: 5}, "≤ 5.00 KiB", "yes: 4.20 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &result{Unit: "KiB", Asked: &c.asked}
			r.add(own, c.own)
			r.add(nginx, 20)
			r.add(haproxy, 30)
			if r.reached() != c.reached || r.Asked.text(r.Unit, r.Beside) != c.text {
				t.Errorf("%q %q", r.reached(), r.Asked.text(r.Unit, r.Beside))
			}
		})
	}
}

func TestAnAnswerIsWholeByItsLength(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\n"
	for in, want := range map[string]bool{"HTTP/1.1 200 OK\r\n": false, head: false, head + "abcd": false, head + "abcde": true} {
		if _, whole, err := answered([]byte(in)); whole != want || err != nil {
			t.Errorf("%q: %v %v", in, whole, err)
		}
	}
	if status, _, err := answered([]byte("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")); status != 401 || err != nil {
		t.Error(status, err)
	}
	if _, _, err := answered([]byte("HTTP/1.1 200 OK\r\n\r\n")); err == nil {
		t.Error("an answer without a length must be told, not waited for")
	}
}

func TestPercentilesAreOfWhatWasMeasured(t *testing.T) {
	s := &steady{}
	for i := 1000; i > 0; i-- {
		s.latency = append(s.latency, time.Duration(i)*time.Microsecond)
	}
	if s.percentile(0.5) != 501*time.Microsecond || s.percentile(0.999) != 1000*time.Microsecond || s.percentile(1) != time.Millisecond {
		t.Error(s.percentile(0.5), s.percentile(0.999), s.percentile(1))
	}
}

func TestTablesGoBetweenTheMarkersAndNowhereElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(path, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &result{Section: sectionCPU, Title: "public route", Unit: "µs", Beside: besideProxyPass, Asked: &bound{Factor: 1, Of: base}}
	r.add(base, 20, 21)
	r.add(own, 19, 20)
	rep := &report{Results: []*result{r}, Machine: map[string]string{"kernel": "6"}}
	if err := insert(path, rep.markdown()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, endMark+"\nafter\n") || strings.Contains(text, "old") ||
		!strings.Contains(text, "| public route | 20.5 µs (20.0–21.0), nginx `proxy_pass` | 19.5 µs (19.0–20.0), **0.95 ×** | ≤ 1 × nginx `proxy_pass` | yes: 0.95 × |") {
		t.Error(text)
	}
	if err := insert(path+".none", ""); err == nil {
		t.Error("a document that is not there")
	}
}

func TestTheAnswerIsAsLongAsItSays(t *testing.T) {
	if len(answer) != answerLength {
		t.Errorf("%d bytes", len(answer))
	}
}

func TestRowsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.id] || r.Title == "" || r.Section == "" || r.measure == nil {
			t.Errorf("%q", r.id)
		}
		seen[r.id] = true
	}
}
