package saml

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// clock is what time it is in these tests.
var clock = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// keyDir holds one pair of the gateway's own for all tests, which is slow to make.
var keyDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "saml")
	if err != nil {
		panic(err)
	}
	keyDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// signer is a key of an identity provider.
type signer struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newSigner(key crypto.Signer, from, to time.Time) *signer {
	template := &x509.Certificate{SerialNumber: big.NewInt(from.Unix()), Subject: pkix.Name{CommonName: "idp"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &signer{key: key, cert: cert}
}

func newRSA(bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

var (
	year      = 365 * 24 * time.Hour
	idpSigner = sync.OnceValue(func() *signer { return newSigner(newRSA(2048), clock.Add(-year), clock.Add(year)) })
	nextIDP   = sync.OnceValue(func() *signer { return newSigner(newRSA(2048), clock.Add(-year), clock.Add(year)) })
	attacker  = sync.OnceValue(func() *signer { return newSigner(newRSA(2048), clock.Add(-year), clock.Add(year)) })
	curveIDP  = sync.OnceValue(func() *signer {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return newSigner(key, clock.Add(-year), clock.Add(year))
	})
)

const (
	idpEntity = "https://idp.example.com/metadata"
	gateway   = "https://gw.example.com"
	spEntity  = gateway + "/.sallyport/saml/school/metadata"
	acsURL    = gateway + "/.sallyport/saml/school/acs"
	sloURL    = gateway + "/.sallyport/saml/school/slo"
	theState  = "state-of-this-attempt"
)

// idpMetadata describes the provider of these tests, with these certificates.
func idpMetadata(signers ...*signer) string {
	var keys strings.Builder
	for _, s := range signers {
		fmt.Fprintf(&keys, `<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`,
			base64.StdEncoding.EncodeToString(s.cert.Raw))
	}
	return `<?xml version="1.0"?><!-- written by hand -->
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + idpEntity + `">
<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + keys.String() + `
<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/slo?tenant=1"/>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.example.com/soap"/>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.com/sso/post"/>
</md:IDPSSODescriptor></md:EntityDescriptor>`
}

// world is a gateway and its provider.
type world struct {
	sp       *ServiceProvider
	provider *model.IdentityProvider
	attempt  *flow.Attempt
	mu       sync.Mutex
	now      time.Time
	document string
	fault    error
	fetches  int
}

func newWorld(t testing.TB, signers ...*signer) *world {
	if len(signers) == 0 {
		signers = []*signer{idpSigner()}
	}
	w := &world{now: clock, document: idpMetadata(signers...)}
	w.sp = New(Options{Dir: keyDir, Base: t.TempDir(), Now: w.time, Fetch: func(context.Context, string) ([]byte, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fetches++
		return []byte(w.document), w.fault
	}})
	t.Cleanup(w.sp.Close)
	w.provider = &model.IdentityProvider{Name: "school", Type: model.ProviderSAML, MetadataURL: "https://idp.example.com/metadata"}
	w.provider.Defaults()
	base, _ := url.Parse(gateway)
	w.attempt = &flow.Attempt{Provider: w.provider, Base: base, State: theState, Secret: strings.Repeat("s", 43), Began: clock}
	return w
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) serve(document string, fault error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.document, w.fault = document, fault
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches
}

func (w *world) request() string { return requestID(w.attempt, "login") }

func at(d time.Duration) string { return clock.Add(d).Format("2006-01-02T15:04:05.000Z") }

// goodResponse is what an honest provider answers, before it signs.
func goodResponse(request string) string {
	return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_response" Version="2.0" IssueInstant="` + at(0) + `" Destination="` + acsURL + `" InResponseTo="` + request + `"><saml:Issuer>` + idpEntity + `</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>` +
		goodAssertion(request) + `</samlp:Response>`
}

func goodAssertion(request string) string {
	return `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ID="_assertion" Version="2.0" IssueInstant="` + at(0) + `"><saml:Issuer>` + idpEntity + `</saml:Issuer>` +
		`<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" SPNameQualifier="` + spEntity + `">anna</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="` + at(5*time.Minute) + `" Recipient="` + acsURL + `" InResponseTo="` + request + `"/></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="` + at(-time.Minute) + `" NotOnOrAfter="` + at(5*time.Minute) + `"><saml:AudienceRestriction><saml:Audience>` + spEntity + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + at(-time.Hour) + `" SessionNotOnOrAfter="` + at(8*time.Hour) + `" SessionIndex="7"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		`<saml:AttributeStatement><saml:Attribute Name="urn:oid:0.9.2342.19200300.100.1.3" FriendlyName="mail"><saml:AttributeValue xsi:type="xs:string">anna@example.com</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="groups"><saml:AttributeValue>staff</saml:AttributeValue><saml:AttributeValue>admins</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`
}

func tree(t testing.TB, s string) *etree.Element {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(s); err != nil {
		t.Fatal(err, s)
	}
	return doc.Root()
}

func written(t testing.TB, el *etree.Element) string {
	t.Helper()
	b, err := serialize(el.Copy())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// signed signs the elements of these local names, the innermost first.
func (s *signer) signed(t testing.TB, xml string, tags ...string) string {
	t.Helper()
	root := tree(t, xml)
	for _, tag := range tags {
		el := root
		if root.Tag != tag {
			el = root.FindElement(".//" + tag)
		}
		s.signElement(t, el)
	}
	return written(t, root)
}

func (s *signer) signElement(t testing.TB, el *etree.Element) {
	t.Helper()
	ctx, err := dsig.NewSigningContext(s.key, [][]byte{s.cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	lone := tree(t, written(t, el)) // the namespaces are all declared on it
	sig, err := ctx.ConstructSignature(lone, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.key.(*ecdsa.PrivateKey); ok {
		sideBySide(t, sig.FindElement("./SignatureValue"))
	}
	el.InsertChildAt(1, sig)
}

// sideBySide writes an ECDSA signature as XML Signature has it.
func sideBySide(t testing.TB, value *etree.Element) {
	der, err := base64.StdEncoding.DecodeString(value.Text())
	if err != nil {
		t.Fatal(err)
	}
	// SEQUENCE { INTEGER r, INTEGER s }, short lengths
	rlen := int(der[3])
	r, s := new(big.Int).SetBytes(der[4:4+rlen]), new(big.Int).SetBytes(der[6+rlen:])
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	value.SetText(base64.StdEncoding.EncodeToString(raw))
}

func post(param, xml string) *flow.Return {
	form := url.Values{param: {base64.StdEncoding.EncodeToString([]byte(xml))}, "RelayState": {theState}}
	return &flow.Return{Request: &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/.sallyport/saml/school/acs"}}, Form: form}
}

func (w *world) finish(xml string) (*flow.Identity, error) {
	return w.sp.Finish(context.Background(), w.attempt, post("SAMLResponse", xml))
}

// redirect is a message by the Redirect binding, signed beside itself.
func (s *signer) redirect(param, xml, relay string) *flow.Return {
	var packed bytes.Buffer
	z, _ := flate.NewWriter(&packed, flate.BestCompression)
	z.Write([]byte(xml))
	z.Close()
	query := param + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if relay != "" {
		query += "&RelayState=" + url.QueryEscape(relay)
	}
	query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	digest := sha256.Sum256([]byte(query))
	sig, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return get(query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig)))
}

func get(query string) *flow.Return {
	u := &url.URL{Path: "/.sallyport/saml/school/slo", RawQuery: query}
	return &flow.Return{Request: &http.Request{Method: http.MethodGet, URL: u}, Query: u.Query()}
}

// encryption is how a provider encrypts.
type encryption struct{ content, key, digest, mask string }

// encrypted wraps an assertion for the gateway's own key.
func (w *world) encrypted(t testing.TB, assertion string, e encryption) string {
	t.Helper()
	own, err := w.sp.ownPair()
	if err != nil {
		t.Fatal(err)
	}
	size := 32
	if strings.Contains(e.content, "128") {
		size = 16
	}
	secret := make([]byte, size)
	rand.Read(secret)
	block, _ := aes.NewCipher(secret)
	var sealed []byte
	if strings.HasSuffix(e.content, "gcm") {
		aead, _ := cipher.NewGCM(block)
		nonce := make([]byte, aead.NonceSize())
		rand.Read(nonce)
		sealed = aead.Seal(nonce, nonce, []byte(assertion), nil)
	} else {
		pad := 16 - len(assertion)%16
		plain := append([]byte(assertion), make([]byte, pad)...)
		plain[len(plain)-1] = byte(pad)
		iv := make([]byte, 16)
		rand.Read(iv)
		sealed = append(iv, plain...)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed[16:], plain)
	}
	var wrapped []byte
	parameters := ""
	pub := &own.key.PublicKey
	if strings.HasSuffix(e.key, "rsa-1_5") {
		//lint:ignore SA1019 what must be refused has to be made
		wrapped, err = rsa.EncryptPKCS1v15(rand.Reader, pub, secret)
	} else {
		o := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
		if e.digest != "" {
			o.Hash = crypto.SHA256
			parameters += `<ds:DigestMethod Algorithm="` + e.digest + `"/>`
		}
		if e.mask != "" {
			o.MGFHash = crypto.SHA256
			parameters += `<xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="` + e.mask + `"/>`
		}
		wrapped, err = rsa.EncryptOAEPWithOptions(rand.Reader, pub, secret, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Type="http://www.w3.org/2001/04/xmlenc#Element"><xenc:EncryptionMethod Algorithm="` + e.content + `"/>` +
		`<ds:KeyInfo><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="` + e.key + `">` + parameters + `</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(wrapped) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>` +
		`<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(sealed) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>`
}

func (w *world) certs(t testing.TB) []*x509.Certificate {
	t.Helper()
	_, idp, err := w.sp.current(context.Background(), w.provider)
	if err != nil {
		t.Fatal(err)
	}
	return idp.certs
}
