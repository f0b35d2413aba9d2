package saml

import (
	"strings"
	"testing"

	"github.com/beevik/etree"

	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

// forged is a copy of a signed element that says that somebody else is here.
func forged(el *etree.Element, id string) *etree.Element {
	out := el.Copy()
	out.CreateAttr("ID", id)
	out.FindElement(".//NameID").SetText("admin")
	return out
}

func dropSignature(el *etree.Element) *etree.Element {
	sig := el.SelectElement("Signature")
	el.RemoveChild(sig)
	return sig
}

// wrappings are the eight ways of signature wrapping that SAML Raider tries: a signed
// element that stays verifiable, and a forged one where it might be looked for
// (CVE-2026-25922, CVE-2026-47201, CVE-2022-41912, CVE-2020-29509).
var wrappings = []struct {
	name string
	of   string // what is signed
	wrap func(root *etree.Element) *etree.Element
}{
	{"XSW1: a forged response, and the signed one within its signature", "Response", func(root *etree.Element) *etree.Element {
		original := root.Copy()
		dropSignature(original)
		out := forged(root, "_evil")
		out.SelectElement("Signature").AddChild(original)
		return out
	}},
	{"XSW2: a forged response, and the signed one beside its signature", "Response", func(root *etree.Element) *etree.Element {
		original := root.Copy()
		dropSignature(original)
		out := forged(root, "_evil")
		out.InsertChildAt(out.SelectElement("Signature").Index(), original)
		return out
	}},
	{"XSW3: a forged assertion before the signed one", "Assertion", func(root *etree.Element) *etree.Element {
		a := root.SelectElement("Assertion")
		evil := forged(a, "_evil")
		dropSignature(evil)
		root.InsertChildAt(a.Index(), evil)
		return root
	}},
	{"XSW4: a forged assertion around the signed one", "Assertion", func(root *etree.Element) *etree.Element {
		a := root.SelectElement("Assertion")
		evil := forged(a, "_evil")
		dropSignature(evil)
		root.RemoveChild(a)
		evil.AddChild(a)
		root.AddChild(evil)
		return root
	}},
	{"XSW5: a forged assertion with the signature, and the signed one behind it", "Assertion", func(root *etree.Element) *etree.Element {
		a := root.SelectElement("Assertion")
		original := a.Copy()
		dropSignature(original)
		evil := forged(a, "_evil")
		root.RemoveChild(a)
		root.AddChild(evil)
		root.AddChild(original)
		return root
	}},
	{"XSW6: a forged assertion with the signature, and the signed one within that", "Assertion", func(root *etree.Element) *etree.Element {
		a := root.SelectElement("Assertion")
		original := a.Copy()
		dropSignature(original)
		evil := forged(a, "_evil")
		evil.SelectElement("Signature").AddChild(original)
		root.RemoveChild(a)
		root.AddChild(evil)
		return root
	}},
	{"XSW7: a forged assertion in the extensions", "Assertion", func(root *etree.Element) *etree.Element {
		a := root.SelectElement("Assertion")
		evil := forged(a, "_assertion")
		dropSignature(evil)
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(evil)
		root.InsertChildAt(a.Index(), extensions)
		return root
	}},
	{"XSW8: a forged assertion, and the signed one in an object of its signature", "Assertion", func(root *etree.Element) *etree.Element {
		a := root.SelectElement("Assertion")
		original := a.Copy()
		dropSignature(original)
		evil := forged(a, "_evil")
		evil.SelectElement("Signature").CreateElement("ds:Object").AddChild(original)
		root.RemoveChild(a)
		root.AddChild(evil)
		return root
	}},
	{"the response's own assertion in its place, and the signed one as advice", "Assertion", func(root *etree.Element) *etree.Element {
		a := root.SelectElement("Assertion")
		evil := forged(a, "_evil")
		dropSignature(evil)
		root.RemoveChild(a)
		evil.CreateElement("saml:Advice").AddChild(a)
		root.AddChild(evil)
		return root
	}},
	{"a forged assertion beside one that is encrypted", "Assertion", func(root *etree.Element) *etree.Element {
		evil := forged(root.SelectElement("Assertion"), "_evil")
		root.CreateElement("saml:EncryptedAssertion").AddChild(evil)
		return root
	}},
	{"a forged assertion under another namespace's name", "Assertion", func(root *etree.Element) *etree.Element {
		evil := etree.NewElement("evil:Assertion")
		evil.CreateAttr("xmlns:evil", "urn:evil")
		root.AddChild(evil)
		return root
	}},
}

func TestNoWrappedSignatureIsTaken(t *testing.T) {
	for _, tc := range wrappings {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			good := idpSigner().signed(t, goodResponse(w.request()), tc.of)
			if _, err := w.finish(good); err != nil {
				t.Fatal("before: ", err)
			}
			evil := written(t, tc.wrap(tree(t, good)))
			id, err := w.finish(evil)
			if id != nil || err == nil {
				t.Fatalf("taken: %v", id)
			}
			if code := model.AsError(err).Code; code != model.CredentialInvalid && code != model.RequestMalformed {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Counting is the first of two walls. Here the second stands alone: what is verified
// is read from the digested bytes, wherever the forged element stood.
func TestWhatIsVerifiedIsWhatIsRead(t *testing.T) {
	w := newWorld(t)
	certs := newWorld(t).certs(t)
	for _, tc := range wrappings[:8] {
		t.Run(tc.name, func(t *testing.T) {
			root := tc.wrap(tree(t, idpSigner().signed(t, goodResponse(w.request()), tc.of)))
			root = tree(t, written(t, root))
			for _, el := range append(root.FindElements("//Assertion"), root) {
				out, err := xmlsec.Verify(el, certs, clock)
				if err != nil {
					continue
				}
				if s := written(t, out); strings.Contains(s, ">admin<") || !strings.Contains(s, "anna") {
					t.Errorf("verified: %s", s)
				}
			}
		})
	}
}
