package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sallyport/sallyport/internal/model"
)

type inner struct {
	Depth int    `json:"depth"`
	Word  string `json:"word"`
}

func (i *inner) Defaults() { i.Depth, i.Word = 3, "calm" }

type common struct {
	Region string `json:"region"`
	Name   string `json:"name"` // hidden by the outer one
}

type outer struct {
	common
	Name     string            `json:"name"`
	On       bool              `json:"on"`
	Small    int8              `json:"small"`
	Port     uint16            `json:"port"`
	Ratio    float64           `json:"ratio"`
	Size     model.Size        `json:"size"`
	Wait     model.Duration    `json:"wait"`
	At       *time.Time        `json:"at"`
	In       inner             `json:"in"`
	Ref      *inner            `json:"ref"`
	Many     []inner           `json:"many"`
	Words    []string          `json:"words"`
	Labels   map[string]string `json:"labels"`
	ByName   map[string]inner  `json:"byName"`
	Free     map[string]any    `json:"free"`
	Raw      json.RawMessage   `json:"raw"`
	Hidden   string            `json:"-"`
	Untagged string
}

func (o *outer) Defaults() { o.On, o.Small, o.In.Depth = true, 7, 4 }

func read(t *testing.T, yaml string, dst any) model.Faults {
	t.Helper()
	n, f := YAML([]byte(yaml), "boot.yaml")
	if n == nil {
		t.Fatalf("not parsed: %v", f)
	}
	return append(f, n.Into(dst)...)
}

func TestAWholeDocumentIsReadWithDefaults(t *testing.T) {
	doc := `
name: gate
region: north
port: 8443
ratio: 0.5
size: 10MiB
wait: 90s
at: 2027-01-31T12:00:00Z
in: {word: loud}
ref: {depth: 9}
many: [{}, {depth: 1}]
words: [a, "1.2"]
labels: {x: y}
byName: {k: {word: w}}
free: {n: 1, f: 1.5, b: true, l: [null, x]}
raw: {keep: 12345678901234567890}
Untagged: yes indeed
`
	at := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	want := outer{common: common{Region: "north"}, Name: "gate", On: true, Small: 7, Port: 8443, Ratio: .5, Size: 10 << 20,
		Wait: model.Duration(90 * time.Second), At: &at, In: inner{4, "loud"}, Ref: &inner{9, "calm"},
		Many: []inner{{3, "calm"}, {1, "calm"}}, Words: []string{"a", "1.2"}, Labels: map[string]string{"x": "y"},
		ByName: map[string]inner{"k": {3, "w"}}, Free: map[string]any{"n": 1.0, "f": 1.5, "b": true, "l": []any{nil, "x"}},
		Raw: json.RawMessage(`{"keep":12345678901234567890}`), Untagged: "yes indeed"}
	var got outer
	if f := read(t, doc, &got); f != nil {
		t.Fatal(f)
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(outer{}, common{})); d != "" {
		t.Error(d)
	}
	asJSON, _ := func() ([]byte, error) { n, _ := YAML([]byte(doc), ""); return n.MarshalJSON() }()
	n, f := JSON(asJSON)
	if f != nil {
		t.Fatal(f)
	}
	var again outer
	if f := n.Into(&again); f != nil {
		t.Fatal(f)
	}
	if d := cmp.Diff(want, again, cmp.AllowUnexported(outer{}, common{})); d != "" {
		t.Error("read as JSON:", d)
	}
}

func TestFaultsNamePathLineAndRemedy(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"an unknown field is met with the nearest one", "nmae: x", `line 1: nmae: is not a field here; did you mean name?`},
		{"another case is another name (encoding/json would take it)", "Name: x", `line 1: Name: is not a field here; did you mean name?`},
		{"a field that is far from all is met with the list", "in:\n  quux: 1", `line 2: in.quux: is not a field here; the fields are depth, word`},
		{"a field that JSON hides cannot be set", "Hidden: x", `Hidden: is not a field here`},
		{"an unexported field cannot be set", "private: x", `private: is not a field here`},
		{"a number where text belongs", "name: 1.2", `line 1: name: is a number; text is expected here; write it in quotes`},
		{"a bool where text belongs", "name: true", `name: is true or false; text is expected here; write it in quotes`},
		{"text where a number belongs", `small: "7"`, `small: is text; a number is expected here, without quotes`},
		{"text where a bool belongs", `on: "true"`, `on: is text; true or false is expected here, without quotes`},
		{"YAML 1.1's yes is text", `on: yes`, `on: is text; true or false is expected here`},
		{"a number out of range", "small: 128", `small: is not a whole number between -128 and 127`},
		{"a fraction where a whole number belongs", "port: 80.0", `port: is not a whole number between 0 and 65535`},
		{"a negative port", "port: -1", `port: is not a whole number between 0 and 65535`},
		{"octal, which readers take differently", "small: 010", `small: is a number in a notation that readers take differently`},
		{"hexadecimal", "small: 0x1F", `small: is a number in a notation that readers take differently`},
		{"not a number", "ratio: .nan", `ratio: is a number in a notation`},
		{"a number too large to keep", "ratio: 1e999", `ratio: is text; a number is expected here`},
		{"a scalar where a list belongs", "words: a", `words: is text; a list is expected here; put it in brackets`},
		{"a list where a map belongs", "labels: [a]", `labels: is a list; names with values are expected here`},
		{"a scalar where a struct belongs", "in: 5", `in: is a number; fields with names are expected here`},
		{"null where text belongs", "name:", `name: is null; leave the field out for its default, or write "" for an empty text`},
		{"a duration without a unit", "wait: 5", `wait: "5" is not a duration`},
		{"a duration that is a list", "wait: []", `wait: is a list; text is expected here`},
		{"a size with nonsense", "size: 10Mib", `size: "10Mib" is not a size`},
		{"a date without a time", "at: 2027-01-31", `at: is not a time; write it as 2027-01-31T12:00:00Z`},
		{"a number too exact for free values", "free: {id: 9007199254740993}", `free.id: is a number that cannot be kept exactly`},
		{"a name given twice", "name: a\nname: b", `line 2: name: is given twice`},
		{"an anchor", "name: &a x", `name: has an anchor (&a)`},
		{"an alias", "name: &a x\nregion: *a", `line 2: region: is an alias (*a)`},
		{"a merge key", "in: {<<: {depth: 1}}", `in: merges another value (<<)`},
		{"a tag", "name: !!binary aGk=", `name: has a tag (!!binary)`},
		{"a name that is a number", "labels: {1: x}", `labels.1: is a name that is not text; write it in quotes`},
		{"a name that is a list", "labels: {[a]: x}", `labels: has a name that is not plain text`},
		{"a fault deep within lists", "many:\n- depth: 1\n- depth: x", `line 3: many[1].depth: is text; a number is expected here`},
		{"nesting against the stack", "free: {x: " + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "}", "is nested more than 64 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := read(t, c.doc, &outer{})
			if !strings.Contains(f.Error(), c.want) || !strings.Contains(f.Error(), "boot.yaml: line ") {
				t.Errorf("got %q, want %q", f, c.want)
			}
		})
	}
}

func TestAllFaultsComeAtOnce(t *testing.T) {
	f := read(t, "nmae: x\nport: x\nin: {deep: 1, word: 2}\nwords: [1]\n", &outer{})
	if len(f) != 5 {
		t.Errorf("want 5 faults, got %d: %v", len(f), f)
	}
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "x%d: 1\n", i)
	}
	if f := read(t, b.String(), &outer{}); len(f) != maxFaults+1 {
		t.Errorf("a hostile file makes a report of %d faults", len(f))
	}
}

func TestBytesThatAreNotYAMLNameTheirLine(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"a tab as indentation", "in:\n\tword: x\n", "never tabs"},
		{"an open bracket", "words: [a\n", "is not YAML"},
		{"two documents", "name: a\n---\nname: b\n", "second document"},
		{"not UTF-8", "name: \xff\n", "is not UTF-8 text"},
		{"an unknown alias", "name: *nope", "unknown anchor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, f := YAML([]byte(c.doc), "boot.yaml")
			if n != nil || len(f) != 1 || !strings.Contains(f.Error(), c.want) {
				t.Errorf("node %v, faults %v, want %q", n, f, c.want)
			}
		})
	}
}

func TestAnEmptyFileIsAnEmptyMap(t *testing.T) {
	for _, doc := range []string{"", "\n# only words\n", "---\n", "null\n"} {
		var o outer
		if f := read(t, doc, &o); f != nil || !o.On {
			t.Errorf("%q: %v %+v", doc, f, o)
		}
	}
}

func TestNullTakesPointersListsAndMapsBackToNothing(t *testing.T) {
	var o outer
	if f := read(t, "at: null\nref: ~\nmany:\nlabels: null\nfree: {a: null}", &o); f != nil {
		t.Fatal(f)
	}
	if o.At != nil || o.Ref != nil || o.Many != nil || o.Labels != nil || o.Free["a"] != nil {
		t.Errorf("%+v", o)
	}
}

func TestBytesThatAreNotJSONGiveNoNode(t *testing.T) {
	for _, c := range []struct{ name, doc string }{
		{"nothing", ""}, {"trailing bytes", "{} x"}, {"two values", "1 2"}, {"a trailing comma", `{"a":1,}`},
		{"single quotes", `{'a':1}`}, {"a comment", "{} // x"}, {"leading zeros", "01"}, {"a bare dot", "1."},
		{"a plus sign", "+1"}, {"NaN", "NaN"}, {"half a word", "tru"}, {"a raw newline in a string", "\"a\nb\""},
		{"an unknown escape", `"\x41"`}, {"half a surrogate pair", `"\ud800"`}, {"an open string", `"abc`},
		{"an open escape", `"\u00`}, {"not UTF-8", "\"\xff\""}, {"a byte order mark", "\ufeff{}"},
		{"nesting against the stack", strings.Repeat("[", 100000)}, {"nesting one too deep", strings.Repeat("[", 66) + strings.Repeat("]", 66)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, f := JSON([]byte(c.doc)); n != nil || len(f) != 1 {
				t.Errorf("node %v, faults %v", n, f)
			}
		})
	}
}

func TestRepeatedNamesInJSONAreFaultsWithANode(t *testing.T) {
	n, f := JSON([]byte("{\"a\": {\"b\": 1,\n \"b\": 2}}"))
	if n == nil || f.Error() != "line 2: a.b: is given twice" {
		t.Errorf("%v %v", n, f)
	}
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	if _, f := JSON([]byte("{" + b.String() + `"k3":1}`)); len(f) != 1 {
		t.Errorf("in a large map: %v", f)
	}
	if _, f := JSON([]byte(`{"\u0061":1,"a":2}`)); len(f) != 1 {
		t.Errorf("an escaped spelling is the same name: %v", f)
	}
}

func TestReferencesAreFoundAndExpandedOnce(t *testing.T) {
	n, _ := YAML([]byte("name: ${env:WHO}\nregion: a-${env:X}-${file:/f}\nport: ${env:PORT}\non: ${env:ON}\nlabels: {re: '~^/a${1}$'}\n"), "f.yaml")
	var got []string
	for _, r := range n.References() {
		got = append(got, fmt.Sprintf("%s:%d %s %s", r.Path, r.Line, r.Kind, r.Name))
	}
	want := []string{"name:1 env WHO", "region:2 env X", "region:2 file /f", "port:3 env PORT", "on:4 env ON"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	values := map[string]string{"WHO": "${env:SECRET}", "X": "x", "/f": "pem\n", "PORT": "80", "ON": "false"}
	f := n.Expand(func(kind, name string) (string, error) {
		v, ok := values[name]
		if !ok {
			return "", errors.New("is not set")
		}
		return v, nil
	})
	var o outer
	f = append(f, n.Into(&o)...)
	if f != nil || o.Name != "${env:SECRET}" || o.Region != "a-x-pem" || o.Port != 80 || o.On || o.Labels["re"] != "~^/a${1}$" {
		t.Errorf("%v %+v", f, o)
	}
}

func TestReferencesThatCannotBeHadAreFaults(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"an unset variable", "a: ${env:NO}", "line 1: a: names ${env:NO}, which cannot be had: is not set"},
		{"no closing brace", "a: '${env:NO'", "without its closing brace"},
		{"no name", "a: '${file:}'", "has a reference without a name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, _ := YAML([]byte(c.doc), "")
			if len(n.References()) != 1 {
				t.Error("an incomplete reference is not listed")
			}
			f := n.Expand(func(string, string) (string, error) { return "", errors.New("is not set") })
			if len(f) != 1 || !strings.Contains(f.Error(), c.want) {
				t.Error(f)
			}
		})
	}
}

// RFC 7396, appendix A.
func TestMergePatchDoesWhatItsRFCShows(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`}, {`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`}, {`{"a":"b"}`, `["c"]`, `["c"]`}, {`{"a":"foo"}`, `null`, `null`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`}, {`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		target, _ := JSON([]byte(c[0]))
		patch, _ := JSON([]byte(c[1]))
		got, _ := target.MergePatch(patch).MarshalJSON()
		if string(got) != c[2] {
			t.Errorf("%s + %s = %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func TestARequirementIsReadByItsOwnRules(t *testing.T) {
	var r model.Route
	if f := read(t, "name: r\nauthenticate: {anyOf: [bearer@tokens, {allOf: [mtls, basic]}]}\nbodyBytes: 1MiB\ncors: {origins: ['*']}", &r); f != nil {
		t.Fatal(f)
	}
	if r.Authenticate.AnyOf[0].Provider != "tokens" || len(r.Authenticate.AnyOf[1].AllOf) != 2 || *r.BodyBytes != 1<<20 || r.CORS.MaxAge.D() != 10*time.Minute {
		t.Errorf("%+v", r)
	}
	if f := read(t, "name: r\nauthenticate: {anyOf: [nonsense]}", &r); !strings.Contains(f.Error(), `authenticate: "nonsense" is not a method`) {
		t.Error(f)
	}
}

func TestIntoNothingIsAFaultAndNoPanic(t *testing.T) {
	n, _ := JSON([]byte(`{"a":1}`))
	var c struct {
		A chan int `json:"a"`
	}
	for _, dst := range []any{nil, outer{}, (*outer)(nil), &c} {
		if f := n.Into(dst); f == nil {
			t.Errorf("%T: no fault", dst)
		}
	}
}
