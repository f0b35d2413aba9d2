package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/strict"
)

// What export writes as YAML, apply must read as what it was.
func TestYAMLSaysWhatJSONSaid(t *testing.T) {
	for _, text := range []string{
		`{"a":"yes","b":"0123","c":"null","d":"1e3","e":"true","f":"","g":" x ","h":"a: b","i":"#x","j":"- x","k":"*x","l":"&x","m":"!x","n":"2027-01-01"}`,
		`{"a":1,"b":1.5,"c":-3,"d":1e300,"e":true,"f":false,"g":null,"h":[],"i":{},"j":[[1],[{"x":[]}]],"k":12345678901234567}`,
		`{"text":"two\nlines\n","tabs":"\ta","emoji":"\ud83d\ude00","hash":"$argon2id$v=19$m=1,t=1,p=1$x$y","regex":"~^/x/[0-9]+$","quote":"\"'\\"}`,
		`{"0":"a","true":"b","null":"c","x.y":"d","with space":"e"}`,
		`{"c1":"\u0085\u009b","nbsp":"\u00a0","bom":"\ufeff","line":"\u2028"}`,
	} {
		out, err := toYAML([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		n, faults := strict.YAML(out, "x")
		if faults != nil {
			t.Errorf("%s\n%s\n%v", text, out, faults)
			continue
		}
		b, _ := n.MarshalJSON()
		var want, got any
		_ = json.Unmarshal([]byte(text), &want)
		_ = json.Unmarshal(b, &got)
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s\nbecame\n%s\nread as\n%s", text, out, b)
		}
	}
}

func FuzzYAML(f *testing.F) {
	f.Add(`{"a":[1,"x"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		n, faults := strict.JSON([]byte(text))
		if n == nil || faults != nil {
			return
		}
		if n.Kind() != strict.Map {
			return
		}
		in, _ := n.MarshalJSON()
		out, err := toYAML(in)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		back, faults := strict.YAML(out, "x")
		if faults != nil {
			t.Fatalf("%s\n%s\n%v", in, out, faults)
		}
		b, _ := back.MarshalJSON()
		var want, got any
		_ = json.Unmarshal(in, &want)
		_ = json.Unmarshal(b, &got)
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("%s became %s", in, b)
		}
	})
}

func TestTimesAreRead(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2027-01-31T12:00:00+01:00": "2027-01-31T11:00:00Z", "2027-01-31": "2027-01-31T00:00:00Z", "30d": "2026-12-22T10:00:00Z", "90m": "2026-11-22T11:30:00Z",
	} {
		got, err := when(text, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	if got, err := since("2h", now); err != nil || got.Format(time.RFC3339) != "2026-11-22T08:00:00Z" {
		t.Error(got, err)
	}
	if got, err := when("never", now); got != nil || err != nil {
		t.Error(got, err)
	}
	for _, text := range []string{"soon", "-1h", "-3d", "31.1.2027", "1e9d"} {
		if _, err := when(text, now); err == nil {
			t.Errorf("%q was read as a time", text)
		}
	}
}

func TestNothingPrintedSteersTheTerminal(t *testing.T) {
	if got := printable("a\x1b[2Jb\rc\u009bd\u202ee\nf"); strings.ContainsAny(got, "\x1b\r\n\u009b\u202e") {
		t.Errorf("%q", got)
	}
}
