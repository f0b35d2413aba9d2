package strict

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// What JSON accepts, encoding/json accepts, and reads as the same value.
func FuzzJSONAgreesWithTheStandardLibrary(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,-0,"x\u00e9\ud83d\ude00\n",true,null]}`, `{"a":1,"a":2}`, `[[[]]]`, `"\ud800"`, `1e999`, " [1 , 2 ]\n", `{"":{}}`, "\"\u2028<&>\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, faults := JSON(data)
		if n == nil {
			if len(faults) == 0 {
				t.Fatal("refused without a fault")
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what is not JSON: %q", data)
		}
		out, _ := n.MarshalJSON()
		if len(faults) > 0 {
			return // repeated names: readers differ, which is why they are faults
		}
		if want, got := slow(t, data), slow(t, out); !reflect.DeepEqual(want, got) {
			t.Fatalf("%q was read as %q", data, out)
		}
		intoEverything(t, n)
	})
}

func slow(t *testing.T, data []byte) (v any) {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return v
}

// intoEverything must not panic, whatever the document.
func intoEverything(t *testing.T, n *Node) {
	for _, dst := range []any{&outer{}, &model.Document{}, &model.Route{}, &model.User{}, new(any), &[]inner{}, &map[string]int{}} {
		n.Into(dst)
	}
	n.References()
	n.Any()
	n.Expand(func(kind, name string) (string, error) { return kind + name, nil })
	n.MergePatch(n)
}

// YAML never panics, and what it accepts without a fault can be written as JSON
// and read back.
func FuzzYAMLNeverPanics(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, {y: z}]\n", "&a [*a]", "a: !!int 0x1\n", "? [x]\n: y", "a: |\n  b\n c", "--- a\n--- b", "<<: {}", "a:\n\t- b", "{a: 1, a: 2}", "2027-01-31: 1", "a: \"\\u0000\"", "%YAML 1.1\n---\na", "a: 'b\n\n c'"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, faults := YAML(data, "f")
		if n == nil {
			if len(faults) == 0 {
				t.Fatal("refused without a fault")
			}
			return
		}
		if len(faults) == 0 {
			out, _ := n.MarshalJSON()
			again, faults := JSON(out)
			if again == nil || len(faults) > 0 {
				t.Fatalf("%q became %q: %v", data, out, faults)
			}
		}
		intoEverything(t, n)
	})
}

func FuzzReferencesCoverWhatIsExpanded(f *testing.F) {
	for _, s := range []string{"${env:A}", "a${file:b}c${env:", "${${env:A}}", "$$${env:}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		whole := ""
		for _, p := range split(s) {
			if p.kind == "" {
				if strings.Contains(p.text, "${env:") || strings.Contains(p.text, "${file:") {
					t.Fatalf("a reference was left in %q", p.text)
				}
				whole += p.text
				continue
			}
			if p.text != "" {
				whole += "${" + p.kind + ":" + p.text + "}"
			}
		}
		if !strings.Contains(s, "${") && whole != s {
			t.Fatalf("%q became %q", s, whole)
		}
	})
}
