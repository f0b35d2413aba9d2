package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/model"
)

var at = time.Date(2026, 11, 22, 10, 33, 0, 123456789, time.UTC)

func encode(e *model.Event, seq uint64) []byte {
	h := newHead("node-a", 7)
	return append(append([]byte(nil), h.bytes(e.ID, e.Time, seq)...), appendBody(nil, e)...)
}

func TestEveryFieldSurvivesTheEncoding(t *testing.T) {
	want := model.Event{
		ID: "id-1", Time: at.Truncate(time.Microsecond), Node: "node-a", Seq: 12, Type: model.EventAdmin, Part: "completion", Outcome: "denied",
		Step: "authorise", Code: model.PermissionDenied, Reason: "no role", RequestID: "r", Actor: "admin", User: "alice",
		Credential: "c", Provider: "corp", Service: "orders", Route: "orders-v1", Rule: "x", Method: "GET", Host: "h", Path: "/p",
		Status: 403, BytesIn: 1, BytesOut: 2, ClientIP: "::1", UserAgent: "curl", DurationMs: 1.5, Revision: 9, Count: 3,
		Changes: []model.Change{{Kind: "routes", Name: "a", Action: "update", Before: "x", After: map[string]any{"y": 1.0}}},
	}
	var got model.Event
	if err := json.Unmarshal(encode(&want, 12), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestAHeadIsTheSameWhateverWasBeforeIt compares heads that are altered from the one
// before with heads that are made anew.
func TestAHeadIsTheSameWhateverWasBeforeIt(t *testing.T) {
	kept := newHead("node-a", 7)
	seq, when := uint64(1), at
	for i := range 200_000 {
		switch i % 7 {
		case 0:
			when = when.Add(time.Duration(i%1500) * time.Microsecond)
		case 1:
			when = when.Add(-time.Duration(i%3) * time.Millisecond) // clocks are set back, too
		case 2:
			seq += uint64(i % 30_000)
		}
		seq++
		id := ""
		if i%11 == 0 {
			id = "given"
		}
		if got, want := string(kept.bytes(id, when, seq)), string(newHead("node-a", 7).bytes(id, when, seq)); got != want {
			t.Fatalf("%s\n%s", got, want)
		}
		if i%1000 == 0 {
			var e model.Event
			if err := json.Unmarshal(append(kept.bytes(id, when, seq), '}'), &e); err != nil || e.Seq != seq || !e.Time.Equal(when.Truncate(time.Microsecond)) {
				t.Fatalf("%+v %v", e, err)
			}
		}
	}
}

func TestTextCannotForgeALineOrSteerATerminal(t *testing.T) {
	for name, s := range map[string]string{
		"a line feed and a forged event":   "x\"}\n{\"id\":\"forged\"}",
		"a carriage return":                "\r",
		"the line separator of JavaScript": "\u2028\u2029",
		"an escape sequence":               "\x1b[2J",
		"the 8-bit control sequence":       "\u009b2J",
		"a right-to-left override":         "\u202egpj.exe",
		"a backslash at the end":           `\`,
		"NUL":                              "\x00",
		"DEL":                              "\x7f",
	} {
		line := encode(&model.Event{Time: at, Type: "access", User: s, Path: s}, 1)
		if bytes.Count(line, []byte{'\n'}) != 1 || line[len(line)-1] != '\n' {
			t.Errorf("%s: more than one line: %q", name, line)
		}
		for _, r := range string(line[:len(line)-1]) {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0x202e {
				t.Errorf("%s: %U is in the line bare", name, r)
			}
		}
		var e model.Event
		if err := json.Unmarshal(line, &e); err != nil || e.User != s {
			t.Errorf("%s: read back %q, %v", name, e.User, err)
		}
	}
}

func TestAQueryNeverReachesTheLog(t *testing.T) {
	if line := encode(&model.Event{Time: at, Type: "access", Path: "/a?token=hunter2"}, 1); bytes.Contains(line, []byte("hunter2")) {
		t.Errorf("%s", line)
	}
}

func TestWhatACallerChoosesIsBounded(t *testing.T) {
	long := strings.Repeat("é", 50_000)
	line := encode(&model.Event{Time: at, Type: "access", Path: "/" + long, UserAgent: long, Reason: long}, 1)
	if len(line) > 4<<10 {
		t.Errorf("one event is %d bytes", len(line))
	}
	var e model.Event
	if err := json.Unmarshal(line, &e); err != nil || !strings.HasSuffix(e.UserAgent, "é…") {
		t.Errorf("%v: %q", err, e.UserAgent)
	}
}

func TestChangesThatAreTooLargeKeepTheirNames(t *testing.T) {
	huge := []model.Change{{Kind: "users", Name: "alice", Action: "create", After: strings.Repeat("x", maxChanges)},
		{Kind: "users", Name: "bad", Action: "create", After: func() {}}}
	var e model.Event
	if err := json.Unmarshal(encode(&model.Event{Time: at, Type: "admin", Changes: huge}, 1), &e); err != nil {
		t.Fatal(err)
	}
	want := []model.Change{{Kind: "users", Name: "alice", Action: "create"}, {Kind: "users", Name: "bad", Action: "create"}}
	if d := cmp.Diff(want, e.Changes); d != "" {
		t.Error(d)
	}
}

func TestIdsSortAsTheEventsWereWritten(t *testing.T) {
	last := ""
	for seq := uint64(1); seq < 3000; seq += 7 {
		id := string(appendID(nil, at.Add(time.Duration(seq/100)*time.Millisecond), seq<<25, 0xffffffff-uint32(seq)))
		if id <= last || len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%q after %q", id, last)
		}
		last = id
	}
}

func TestAppendingAllocatesNothing(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	e := typical()
	if n := testing.AllocsPerRun(1000, func() {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations per event", n)
	}
}

// FuzzEncode reads every line back with encoding/json, and compares with what
// encoding/json itself makes of the text.
func FuzzEncode(f *testing.F) {
	f.Add("alice", "/a", "curl", int64(200), 1.5)
	f.Add("\xff\xfe\n\r\u2028", "/\x00?q", "\x1b]0;x\a", int64(-1), math.Copysign(0, -1))
	f.Add(strings.Repeat("\xe2\x82", 600), strings.Repeat("€", 900), "\xf0\x9f\x98", int64(1)<<62, 1e300)
	f.Fuzz(func(t *testing.T, user, path, agent string, n int64, d float64) {
		e := &model.Event{Time: at, Type: model.EventAccess, Outcome: "allowed", User: user, Path: path, UserAgent: agent, BytesIn: n, DurationMs: d}
		line := encode(e, 1)
		if !utf8.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 || !bytes.HasPrefix(line, []byte(`{"id":"`)) {
			t.Fatalf("not one line of text: %q", line)
		}
		var got model.Event
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		cut, _, _ := strings.Cut(path, "?")
		for _, x := range []struct {
			name, in, out string
			max           int
		}{{"user", user, got.User, maxText}, {"path", cut, got.Path, maxPath}, {"agent", agent, got.UserAgent, maxUserAgent}} {
			if want := slowText(x.in, x.max); want != x.out {
				t.Fatalf("%s: %q became %q, want %q", x.name, x.in, x.out, want)
			}
		}
		if got.BytesIn != n {
			t.Fatalf("bytesIn: %d became %d", n, got.BytesIn)
		}
	})
}

// slowText is what appendText means, by way of encoding/json.
func slowText(s string, max int) string {
	tail := ""
	if len(s) > max {
		s, tail = s[:max], "…"
		for i := 1; i < utf8.UTFMax; i++ { // an encoding cut in two goes whole
			if b := s[len(s)-i:]; utf8.RuneStart(b[0]) {
				if !utf8.FullRuneInString(b) {
					s = s[:len(s)-i]
				}
				break
			}
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	var out string
	_ = json.Unmarshal(b, &out)
	return out + tail
}

func TestEightBytesAtOnceAreJudgedAsOneByOne(t *testing.T) {
	for at := 0; at < 8; at++ {
		for c := 0; c < 256; c++ {
			for _, fill := range []byte{' ', '~', 'a', '!', '#', '[', ']'} {
				b := bytes.Repeat([]byte{fill}, 8)
				b[at] = byte(c)
				if plainEight(string(b)) != plainByte[c] {
					t.Fatalf("byte %#x at %d among %q", c, at, fill)
				}
			}
		}
	}
}

func TestDurationsAreWrittenToTheMicrosecond(t *testing.T) {
	for ms, want := range map[float64]string{0: "", math.NaN(): "", math.Inf(1): "", 0.0004: `,"durationMs":0.000`, 0.0006: `,"durationMs":0.001`,
		0.4015: `,"durationMs":0.402`, 1.5: `,"durationMs":1.500`, 12.007: `,"durationMs":12.007`, 999.9999: `,"durationMs":1000.000`,
		3.6e6: `,"durationMs":3600000.000`, -1.25: `,"durationMs":-1.250`, 1e15: `,"durationMs":1000000000000000.000`} {
		if got := string(duration(nil, ms)); got != want {
			t.Errorf("%v: %s, want %s", ms, got, want)
		}
	}
}
