package saml

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
)

// Whatever is done to a signed response, it proves what was signed or nothing.
func FuzzFinishProvesWhatWasSignedOrNothing(f *testing.F) {
	w := newWorld(f)
	good := goodResponse(w.request())
	sealed := w.sealedResponse(f, idpSigner().signed(f, goodAssertion(w.request()), "Assertion"), encryption{content: xenc + "aes256-cbc", key: xenc + "rsa-oaep-mgf1p"})
	var want *flow.Identity
	for _, seed := range []string{
		idpSigner().signed(f, good, "Assertion"), idpSigner().signed(f, good, "Response"),
		idpSigner().signed(f, good, "Assertion", "Response"), sealed, idpSigner().signed(f, sealed, "Response"),
	} {
		id, err := w.finish(seed)
		if err != nil {
			f.Fatal(err)
		}
		if want != nil && !cmp.Equal(want, id) {
			f.Fatal(cmp.Diff(want, id))
		}
		want = id
		f.Add([]byte(seed))
		if strings.Contains(seed, "<saml:Assertion") {
			for _, tc := range wrappings {
				root := tree(f, seed)
				if sig := root.FindElement("./Signature"); tc.of == "Response" && sig == nil || tc.of == "Assertion" && root.FindElement("./Assertion/Signature") == nil {
					continue
				}
				f.Add([]byte(written(f, tc.wrap(root))))
			}
		}
		f.Add([]byte(strings.Replace(seed, ">anna<", ">anna<!---->.evil<", 1)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := w.finish(string(b))
		if (id == nil) == (err == nil) {
			t.Fatalf("got %v, %v", id, err)
		}
		if id != nil && !cmp.Equal(want, id) {
			t.Errorf("from %q: %s", b, cmp.Diff(want, id))
		}
	})
}

// What one reader of XML takes is read alike by another: the names, the attributes
// and the text of encoding/xml, with its namespaces, are those of ours.
func FuzzParseReadsWhatOthersRead(f *testing.F) {
	for _, s := range []string{goodResponse("_x"), logoutRequest(), `<a xmlns="x" b="&lt;"><c xmlns:d="y" d:e="1">t&amp;&#x41;</c></a>`, `<?xml version='1.0' encoding='utf-8'?><a/>`, "<a>\r\n</a>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		root, err := xmlsec.Parse(b)
		if err != nil {
			return
		}
		d := xml.NewDecoder(bytes.NewReader(b))
		var text strings.Builder
		names, depth := 0, 0
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("another reader refuses %q: %v", b, err)
			}
			switch token := token.(type) {
			case xml.StartElement:
				names++
				depth++
				if depth == 1 && !xmlsec.Is(root, token.Name.Space, token.Name.Local) {
					t.Errorf("the root of %q is %v", b, token.Name)
				}
			case xml.EndElement:
				depth--
			case xml.CharData:
				if depth > 0 {
					text.Write(token)
				}
			case xml.Comment, xml.Directive:
				t.Errorf("%q has %T", b, token)
			case xml.ProcInst:
				if names > 0 || token.Target != "xml" {
					t.Errorf("%q has an instruction", b)
				}
			}
		}
		if n := xmlsec.Count(root, func(string) bool { return true }); n != names {
			t.Errorf("%q has %d elements, or %d", b, n, names)
		}
		var ours strings.Builder
		collect(&ours, root)
		if ours.String() != text.String() {
			t.Errorf("%q says %q, or %q", b, ours.String(), text.String())
		}
	})
}

// The Redirect binding: whatever the query, no panic, and nothing that is not signed.
func FuzzLogoutByRedirect(f *testing.F) {
	w := newWorld(f)
	good := idpSigner().redirect("SAMLRequest", logoutRequest(), "r").Request.URL.RawQuery
	f.Add(good)
	f.Add("SAMLResponse=&RelayState=&SigAlg=&Signature=")
	f.Add("SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packedBomb())))
	f.Fuzz(func(t *testing.T, query string) {
		ended, _, err := w.sp.Logout(context.Background(), w.attempt, get(query))
		if (ended == nil) == (err == nil) {
			t.Fatalf("got %v, %v", ended, err)
		}
		if ended != nil && (ended.Subject != "anna" || ended.ID != "_logout" || !strings.Contains(query, "Signature=")) {
			t.Errorf("%q ends %+v", query, ended)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(idpMetadata(idpSigner())))
	f.Add([]byte(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"><EntityDescriptor entityID="x"/></EntitiesDescriptor>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		idp, err := parseMetadata(b)
		if (idp == nil) == (err == nil) {
			t.Fatalf("got %v, %v", idp, err)
		}
		if idp == nil {
			return
		}
		if len(idp.certs) == 0 || idp.entityID == "" {
			t.Errorf("nothing could be verified by %q", b)
		}
		for _, u := range []string{idp.signOn.redirect, idp.signOn.post, idp.logout.redirect, idp.logout.post, idp.answers.redirect, idp.answers.post} {
			if u != "" && !strings.HasPrefix(strings.ToLower(u), "http") {
				t.Errorf("browsers would be sent to %q", u)
			}
		}
	})
}

func collect(out *strings.Builder, el *etree.Element) {
	for _, c := range el.Child {
		switch c := c.(type) {
		case *etree.CharData:
			out.WriteString(c.Data)
		case *etree.Element:
			collect(out, c)
		}
	}
}

func packedBomb() []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression)
	w.Write(make([]byte, 1<<20))
	w.Close()
	return out.Bytes()
}
