package strict

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWhatTwoReadersMayTakeDifferentlyIsNoObject(t *testing.T) {
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"an empty one", `{}`, true},
		{"one with everything in it", ` {"a":[1,"b",{"c":null,"d":true}],"e":-2.5e3} `, true},
		{"a name twice, but not in one object", `{"a":{"b":1},"c":{"b":1}}`, true},
		{"as deep as may be", deep(maxClaimsDepth - 1), true},
		{"deeper", deep(maxClaimsDepth), false},
		{"a name twice", `{"a":1,"a":1}`, false},
		{"a name twice, once escaped", `{"a":1,"\u0061":1}`, false},
		{"a nested name twice", `{"x":[{"a":1,"a":1}]}`, false},
		{"something behind it", `{}{}`, false},
		{"a list", `[{}]`, false},
		{"a text", `"a"`, false},
		{"null", `null`, false},
		{"nothing", ``, false},
		{"a comma too many", `{"a":1,}`, false},
		{"a number that does not fit", `{"a":1e999}`, false},
		{"bytes that are not UTF-8", "{\"a\":\"\xff\"}", false},
	} {
		if m, err := Object([]byte(c.text)); (err == nil) != c.ok || (m == nil) == c.ok {
			t.Errorf("%s: %v %v", c.name, m, err)
		}
	}
}

func TestBase64URLHasOneSpelling(t *testing.T) {
	if b, ok := Base64URL("_-8"); !ok || string(b) != "\xff\xef" {
		t.Errorf("%q %v", b, ok)
	}
	for name, s := range map[string]string{
		"nothing": "", "padding": "_-8=", "another alphabet": "/+8", "bits behind the end": "_-9", "a line break": "_-\n8", "a break behind it": "_-8\r\n", "a letter alone": "_",
	} {
		if b, ok := Base64URL(s); ok {
			t.Errorf("%s is taken for %q", name, b)
		}
	}
}

func TestATextIsWhole(t *testing.T) {
	for _, v := range []any{"", "a\ufffd", nil, 7.0, []any{"a"}} {
		if s, ok := Text(v); ok {
			t.Errorf("%v is taken for %q", v, s)
		}
	}
	if s, ok := Text("a é\n"); !ok || s != "a é\n" {
		t.Errorf("%q %v", s, ok)
	}
}

func TestANameIsBoundedAndHoldsNoControls(t *testing.T) {
	for _, v := range []any{"", nil, "a\n", "a\x00b", "\x7f", "a\ufffd", strings.Repeat("a", 513)} {
		if s, ok := Name(v); ok {
			t.Errorf("%v is taken for %q", v, s)
		}
	}
	if s, ok := Name(strings.Repeat("é", 256)); !ok || len(s) != 512 {
		t.Errorf("%d bytes %v", len(s), ok)
	}
}

func TestWhatCameInsteadIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"": "nothing", " \n": "nothing", "\n<!DOCTYPE html>": "an HTML page", "<HTML lang=en>": "an HTML page", `{"a":`: "broken JSON", " [1": "broken JSON",
		"<?xml version='1.0'?>": "something else", "error": "something else",
	} {
		if got := Instead([]byte(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// slowObject is a second reading of an object: encoding/json's, after every name was
// counted by walking the text.
func slowObject(b []byte) (map[string]any, bool) {
	if !utf8.Valid(b) {
		return nil, false
	}
	var m map[string]any
	if json.Unmarshal(b, &m) != nil || m == nil {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	type level struct {
		object, value bool
		names         map[string]bool
	}
	var open []*level
	for {
		t, err := d.Token()
		if err == io.EOF {
			return m, true
		}
		if err != nil {
			return nil, false
		}
		if delim, ok := t.(json.Delim); ok && (delim == '}' || delim == ']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].object {
			top := open[n-1]
			if !top.value {
				if s := t.(string); top.names[s] {
					return nil, false
				} else {
					top.names[s] = true
				}
				top.value = true
				continue
			}
			top.value = false
		}
		if delim, ok := t.(json.Delim); ok {
			if open = append(open, &level{object: delim == '{', names: map[string]bool{}}); len(open) > maxClaimsDepth {
				return nil, false
			}
		}
	}
}

// FuzzObject holds the strict reading to a plain one, both ways.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":1,"a":2}`, `{"a":{"b":[{"c":null}]}}`, `{"a":1e999}`, `{"a":"\ud83d\ude00"}`, `{"\u0061":1,"a":2}`, `[]`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{} {}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Object(b)
		want, ok := slowObject(b)
		if (err == nil) != ok {
			t.Fatalf("%q: %v, and the slow reading says %v", b, err, ok)
		}
		if ok && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v and %v", b, got, want)
		}
	})
}
