package saml

import (
	"testing"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whoever cuts a signed response apart and sews it together in another way gets from
// it what was signed, or nothing: the eight ways of wrapping, and those that nobody
// has named.
func TestNoSurgeryChangesWhatIsProven(t *testing.T) {
	w := newWorld(t)
	good := goodResponse(w.request())
	sources := []string{
		idpSigner().signed(t, good, "Assertion"),
		idpSigner().signed(t, good, "Response"),
		idpSigner().signed(t, good, "Assertion", "Response"),
	}
	want, err := w.finish(sources[0])
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	rapid.Check(t, func(r *rapid.T) {
		root := tree(t, rapid.SampledFrom(sources).Draw(r, "source"))
		for range rapid.IntRange(1, 4).Draw(r, "cuts") {
			root = operate(r, root)
		}
		xml := written(t, root)
		id, err := w.finish(xml)
		if (id == nil) == (err == nil) {
			r.Fatalf("got %v, %v", id, err)
		}
		if id != nil {
			taken++
			if d := cmp.Diff(want, id); d != "" {
				r.Fatalf("%s\nproves %s", xml, d)
			}
		}
	})
	t.Logf("%d were still believed", taken)
}

// operate makes one cut.
func operate(r *rapid.T, root *etree.Element) *etree.Element {
	all := append(root.FindElements(".//*"), root)
	el := rapid.SampledFrom(all).Draw(r, "element")
	to := rapid.SampledFrom(all).Draw(r, "place")
	switch rapid.SampledFrom([]string{"forge", "copy", "move", "drop", "text", "id", "rename", "attribute", "wrap", "root"}).Draw(r, "cut") {
	case "forge": // another NameID in a copy of the assertion, put anywhere
		if a := root.FindElement(".//Assertion"); a != nil {
			evil := a.Copy()
			if n := evil.FindElement(".//NameID"); n != nil {
				n.SetText("admin")
			}
			evil.CreateAttr("ID", rapid.SampledFrom([]string{"_evil", "_assertion", "_response"}).Draw(r, "id"))
			to.InsertChildAt(rapid.IntRange(0, len(to.Child)).Draw(r, "at"), evil)
		}
	case "copy":
		to.InsertChildAt(rapid.IntRange(0, len(to.Child)).Draw(r, "at"), el.Copy())
	case "move":
		if el != root {
			c := el.Copy()
			el.Parent().RemoveChild(el)
			to.AddChild(c)
		}
	case "drop":
		if el != root {
			el.Parent().RemoveChild(el)
		}
	case "text":
		el.SetText(rapid.SampledFrom([]string{"", "admin", "anna", " "}).Draw(r, "text"))
	case "id":
		el.CreateAttr("ID", rapid.SampledFrom([]string{"_evil", "_assertion", "_response", ""}).Draw(r, "id"))
	case "rename":
		el.Tag = rapid.SampledFrom([]string{"Assertion", "EncryptedAssertion", "Signature", "Extensions", "Advice", "Object", "NameID", "Subject"}).Draw(r, "tag")
	case "attribute":
		if len(el.Attr) > 0 {
			a := rapid.IntRange(0, len(el.Attr)-1).Draw(r, "attribute")
			el.Attr[a].Value = rapid.SampledFrom([]string{"", "x", acsURL, "urn:oasis:names:tc:SAML:2.0:assertion", "#_assertion"}).Draw(r, "value")
		}
	case "wrap":
		if el != root {
			box := etree.NewElement(rapid.SampledFrom([]string{"samlp:Extensions", "saml:Advice", "saml:Assertion", "samlp:Response"}).Draw(r, "box"))
			at := el.Index()
			parent := el.Parent()
			parent.RemoveChild(el)
			box.AddChild(el)
			parent.InsertChildAt(at, box)
		}
	case "root":
		return el.Copy()
	}
	return root
}
