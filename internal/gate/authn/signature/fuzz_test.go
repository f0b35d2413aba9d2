package signature

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// A second, slow reading of Signature-Input: by regular expressions.
var (
	slowText   = `"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"`
	slowKey    = `[a-z*][a-z0-9_.*-]*`
	slowParam  = regexp.MustCompile(`; *(` + slowKey + `)=(` + slowText + `|-?[0-9]{1,15})`)
	slowMember = regexp.MustCompile(`^(` + slowKey + `)=\( *((?:` + slowText + `(?: +` + slowText + `)*)?) *\)((?:; *` + slowKey + `=(?:` + slowText + `|-?[0-9]{1,15}))*)[ \t]*(?:,[ \t]*|$)`)
	slowItem   = regexp.MustCompile(slowText)
	slowSig    = regexp.MustCompile(`^(` + slowKey + `)=:([A-Za-z0-9+/]*={0,2}):[ \t]*(?:,[ \t]*|$)`)
)

func unquote(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s[1 : len(s)-1])
}

// slowInputs answers the members, and whether the whole value is of their form.
func slowInputs(s string) (list []input, ok bool) {
	s = strings.TrimLeft(s, " ")
	for s != "" {
		m := slowMember.FindStringSubmatch(s)
		if m == nil {
			return nil, false
		}
		in := input{label: m[1]}
		for _, item := range slowItem.FindAllString(m[2], -1) {
			in.components = append(in.components, unquote(item))
		}
		for _, p := range slowParam.FindAllStringSubmatch(m[3], -1) {
			q := parameter{name: p[1]}
			if strings.HasPrefix(p[2], `"`) {
				q.text = unquote(p[2])
			} else {
				q.number, _ = strconv.ParseInt(p[2], 10, 64)
				q.integer = true
			}
			in.parameters = append(in.parameters, q)
		}
		list = append(list, in)
		if rest := s[len(m[0]):]; rest == "" && strings.HasSuffix(strings.TrimRight(m[0], " \t"), ",") {
			return nil, false // a comma, and nothing behind it
		} else {
			s = rest
		}
	}
	return list, len(list) > 0
}

func FuzzSignatureInput(f *testing.F) {
	for _, s := range []string{
		`sig1=("@method" "@target-uri");created=1618884473;keyid="k"`, `a=(), b=("x"  "y" );n=-1;t="\"\\"`, `sig=( "a");x=1;x=2`,
		`sig=("a";sf);created=1`, `sig=("a"),`, `sig=("a""b")`, `Sig=("a")`, `sig=("a");created=1.0`, `sig=("a");created=?1`, ` sig=("a") , *b=()`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fast, err := readInputs(s)
		slow, ok := slowInputs(s)
		if err != nil {
			return // stricter: what is given twice, and what is too much
		}
		if !ok || len(slow) != len(fast) {
			t.Fatalf("took %q as %d members; the slow reading: %v %d", s, len(fast), ok, len(slow))
		}
		for i := range fast {
			var a, b strings.Builder
			fast[i].write(&a)
			slow[i].write(&b)
			if fast[i].label != slow[i].label || a.String() != b.String() {
				t.Fatalf("%q: %s, the slow reading: %s", s, a.String(), b.String())
			}
			again, err := readInputs(fast[i].label + "=" + a.String())
			var c strings.Builder
			if err == nil {
				again[0].write(&c)
			}
			if c.String() != a.String() {
				t.Fatalf("%q is written as %q and read as %q (%v)", s, a.String(), c.String(), err)
			}
		}
	})
}

func FuzzSignature(f *testing.F) {
	for _, s := range []string{`sig1=:AAAA:`, `a=:AA==:, b=::`, `a=:AB==:`, `a=:AA:`, `a=:AAAA:;x=1`, `a=:AAAA:,`, "a=:AA\nAA:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := readSignatures(s)
		if err != nil {
			return
		}
		n := 0
		for rest := strings.TrimLeft(s, " "); rest != ""; n++ {
			m := slowSig.FindStringSubmatch(rest)
			if m == nil {
				t.Fatalf("took %q", s)
			}
			b, err := base64.StdEncoding.DecodeString(m[2])
			if err != nil || string(b) != string(got[m[1]]) {
				t.Fatalf("%q: %s is %x, the slow reading %x %v", s, m[1], got[m[1]], b, err)
			}
			rest = rest[len(m[0]):]
		}
		if n != len(got) {
			t.Fatalf("%q: %d members, the slow reading %d", s, len(got), n)
		}
	})
}

// FuzzBase: no value of a field can add a line to what was signed.
func FuzzBase(f *testing.F) {
	f.Add("GET", "/a?b", "value", `"@method" "x-field"`)
	f.Add("GET", "/a?b", "v\n\"@method\": DELETE", `"x-field"`)
	f.Fuzz(func(t *testing.T, method, target, value, components string) {
		list, err := readInputs("a=(" + components + ");created=1")
		if err != nil {
			return
		}
		if !model.ValidToken(method) || strings.ContainsAny(target, "\r\n") { // which the doors refuse
			return
		}
		r := &model.Request{Method: method, Target: target, Scheme: "https", Host: "h", Fields: []model.Field{{Name: "X-Field", Value: value}}}
		text, err := base(r, &list[0])
		if err == nil && strings.Count(text, "\n") != len(list[0].components) {
			t.Fatalf("%q has other lines than it covers", text)
		}
	})
}
