package xmlsec

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

var signer = sync.OnceValues(func() (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, cert
})

// signedBy makes a signature by hand, part by part: what a provider writes, and not
// what a library here would.
func signedBy(t *testing.T, body, id, prefixes, method string) string {
	t.Helper()
	key, _ := signer()
	canonical := func(xml, list string) []byte {
		doc := etree.NewDocument()
		if err := doc.ReadFromString(xml); err != nil {
			t.Fatal(err)
		}
		b, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(list).Canonicalize(doc.Root())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	inclusive := ""
	if prefixes != "" {
		inclusive = `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="` + prefixes + `"></ec:InclusiveNamespaces>`
	}
	digest := sha256.Sum256(canonical(body, prefixes))
	info := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="` + method + `"></ds:SignatureMethod>` +
		`<ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">` + inclusive + `</ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	hash, sum := crypto.SHA256, []byte(nil)
	if strings.HasSuffix(method, "512") {
		h := sha512.Sum512(canonical(info, ""))
		hash, sum = crypto.SHA512, h[:]
	} else {
		h := sha256.Sum256(canonical(info, ""))
		sum = h[:]
	}
	raw, err := rsa.SignPKCS1v15(nil, key, hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	value := base64.StdEncoding.EncodeToString(raw)
	value = value[:76] + "\n" + value[76:] // as many write it
	sig := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + info + `<ds:SignatureValue>` + value + `</ds:SignatureValue><ds:KeyInfo><ds:KeyValue/></ds:KeyInfo></ds:Signature>`
	i := strings.LastIndex(body, "</")
	return body[:i] + sig + body[i:]
}

const note = `<n:note xmlns:n="urn:n" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:unused="urn:unused" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ID="_1"><n:text xsi:type="xs:string">hello</n:text></n:note>`

func TestSignaturesAsProvidersWriteThem(t *testing.T) {
	_, cert := signer()
	for _, tc := range []struct{ name, prefixes, method string }{
		{"plain", "", dsig.RSASHA256SignatureMethod},
		{"with SHA-512", "", dsig.RSASHA512SignatureMethod},
		{"with the prefixes that attribute values need (AD FS, Okta)", "xs", dsig.RSASHA256SignatureMethod},
		{"with several prefixes", "xs xsi n", dsig.RSASHA256SignatureMethod},
	} {
		t.Run(tc.name, func(t *testing.T) {
			xml := signedBy(t, note, "_1", tc.prefixes, tc.method)
			root, err := Parse([]byte("<box xmlns:around='urn:around'>" + xml + "</box>"))
			if err != nil {
				t.Fatal(err)
			}
			out, err := Verify(root.ChildElements()[0], []*x509.Certificate{cert}, noon)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := Required(out, "urn:n", "text"); got == nil || len(out.ChildElements()) != 1 {
				t.Errorf("got %v", out)
			}
			for _, at := range []time.Time{noon.Add(-2 * time.Hour), noon.Add(2 * time.Hour)} {
				if _, err := Verify(root.ChildElements()[0], []*x509.Certificate{cert}, at); err == nil {
					t.Error("by a certificate that does not hold")
				}
			}
			if _, err := Verify(root.ChildElements()[0], nil, noon); !errors.Is(err, ErrKey) {
				t.Errorf("by nobody: %v", err)
			}
			changed, err := Parse([]byte(strings.Replace(xml, "hello", "hallo", 1)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(changed, []*x509.Certificate{cert}, noon); !errors.Is(err, ErrKey) {
				t.Errorf("changed: %v", err)
			}
		})
	}
}

// A prefix means what it meant where it was signed, or the signature is void.
func TestANamespaceCannotBeSwappedAroundASignature(t *testing.T) {
	_, cert := signer()
	inner := strings.Replace(note, ` xmlns:n="urn:n"`, "", 1)
	outer := func(uri string) string { return `<box xmlns:n="` + uri + `">` }
	signed := signedBy(t, strings.Replace(inner, "<n:note", `<n:note xmlns:n="urn:n"`, 1), "_1", "", dsig.RSASHA256SignatureMethod)
	signed = strings.Replace(signed, ` xmlns:n="urn:n"`, "", 1)
	for uri, good := range map[string]bool{"urn:n": true, "urn:evil": false} {
		root, err := Parse([]byte(outer(uri) + signed + "</box>"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := Verify(root.ChildElements()[0], []*x509.Certificate{cert}, noon)
		if (err == nil) != good {
			t.Errorf("within %s: %v, %v", uri, out, err)
		}
	}
}

func TestDetachedSignatures(t *testing.T) {
	key, cert := signer()
	digest := sha256.Sum256([]byte("hello"))
	sig, _ := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	certs := []*x509.Certificate{cert}
	if err := VerifyDetached(certs, dsig.RSASHA256SignatureMethod, "hello", sig); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct{ name, method, signed string }{
		{"another text", dsig.RSASHA256SignatureMethod, "hallo"},
		{"another hash", dsig.RSASHA512SignatureMethod, "hello"},
		{"another hash", dsig.RSASHA384SignatureMethod, "hello"},
		{"another kind of key", dsig.ECDSASHA256SignatureMethod, "hello"},
		{"SHA-1", dsig.RSASHA1SignatureMethod, "hello"},
		{"nothing", "", "hello"},
	} {
		if err := VerifyDetached(certs, tc.method, tc.signed, sig); err == nil {
			t.Errorf("%s is taken", tc.name)
		}
	}
	if err := VerifyDetached(certs, dsig.RSASHA256SignatureMethod, "hello", nil); err == nil {
		t.Error("no signature is one")
	}
}

func TestDeclarationsThatAreRead(t *testing.T) {
	for s, good := range map[string]bool{
		`<?xml version="1.0"?><a/>`:                                   true,
		`<?xml version='1.0' encoding='UTF-8' standalone='yes'?><a/>`: true,
		`<?xml version="1.0" encoding="utf-8" ?>` + "\n<a/>\n":        true,
		`<?xml version="1.1"?><a/>`:                                   false,
		`<?xml version="1.0" encoding="ISO-8859-1"?><a/>`:             false,
		`<?xml version="1.0"`:                                         false,
		` <?xml version="1.0"?><a/>`:                                  false,
		"\ufeff<a/>":                                                  false,
		`<a b="1" xmlns:x="urn:x" x:b="2"/>`:                          true,
		`<a xmlns:x="urn:x" xmlns:y="urn:x" x:b="1" y:b="2"/>`:        false,
		`<a xmlns:xmlns="urn:x"/>`:                                    false,
		`<a xmlns:xml="urn:x"/>`:                                      false,
		`<a xmlns:x=""/>`:                                             false,
		`<a x:b="1"/>`:                                                false,
		`<a ID="1"><b ID="1"/></a>`:                                   false,
		`<a ID="1"><b Id="1"/></a>`:                                   false,
		`<a xml:id="1"/>`:                                             false,
		`<a xml:lang="en"/>`:                                          true,
		strings.Repeat("<a>", 49) + strings.Repeat("</a>", 49):        false,
	} {
		if _, err := Parse([]byte(s)); (err == nil) != good {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestTimesAreTimes(t *testing.T) {
	for s, want := range map[string]time.Time{
		"":                          {},
		"2026-05-04T12:00:00Z":      noon,
		"2026-05-04T12:00:00.000Z":  noon,
		"2026-05-04T14:00:00+02:00": noon,
	} {
		el := etree.NewElement("a")
		el.CreateAttr("At", s)
		if got, err := Instant(el, "At"); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"2026-05-04T12:00:00", "2026-05-04", "now", "0001-01-01T00:00:00Z", "2026-13-04T12:00:00Z", " 2026-05-04T12:00:00Z"} {
		el := etree.NewElement("a")
		el.CreateAttr("At", s)
		if got, err := Instant(el, "At"); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestBase64IsReadStrictly(t *testing.T) {
	for s, good := range map[string]bool{"aGVsbG8=": true, "aGVs\r\nbG8=": true, "aGVsbG8": false, "aGVsbG9=": false, "aGVs bG8=": false, "aGVsbG8=x": false, "aGVs_G8=": false} {
		if _, err := Decode(s); (err == nil) != good {
			t.Errorf("%q: %v", s, err)
		}
	}
}
