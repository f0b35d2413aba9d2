package saml

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

const (
	xenc   = "http://www.w3.org/2001/04/xmlenc#"
	xenc11 = "http://www.w3.org/2009/xmlenc11#"
)

// sealedResponse holds an assertion, signed or not, encrypted for the gateway.
func (w *world) sealedResponse(t testing.TB, assertion string, e encryption) string {
	t.Helper()
	plain := goodResponse(w.request())
	i := strings.Index(plain, "<saml:Assertion")
	return plain[:i] + w.encrypted(t, assertion, e) + "</samlp:Response>"
}

func TestAnEncryptedAssertionIsRead(t *testing.T) {
	for _, e := range []encryption{
		{content: xenc11 + "aes256-gcm", key: xenc + "rsa-oaep-mgf1p"},
		{content: xenc11 + "aes128-gcm", key: xenc + "rsa-oaep-mgf1p", digest: xenc + "sha256"},
		{content: xenc11 + "aes256-gcm", key: xenc11 + "rsa-oaep", digest: xenc + "sha256", mask: xenc11 + "mgf1sha256"},
		{content: xenc + "aes256-cbc", key: xenc + "rsa-oaep-mgf1p"},
		{content: xenc + "aes128-cbc", key: xenc11 + "rsa-oaep"},
	} {
		w := newWorld(t)
		signed := idpSigner().signed(t, goodAssertion(w.request()), "Assertion")
		for _, xml := range []string{
			w.sealedResponse(t, signed, e),
			idpSigner().signed(t, w.sealedResponse(t, signed, e), "Response"),
			idpSigner().signed(t, w.sealedResponse(t, goodAssertion(w.request()), e), "Response"),
		} {
			if id, err := w.finish(xml); err != nil || id.Subject != "anna" || id.Claims["mail"] != "anna@example.com" {
				t.Errorf("%+v: %v, %v", e, id, err)
			}
		}
	}
}

func TestAnEncryptedAssertionIsHeldToTheSame(t *testing.T) {
	e := encryption{content: xenc11 + "aes256-gcm", key: xenc + "rsa-oaep-mgf1p"}
	w := newWorld(t)
	signed := idpSigner().signed(t, goodAssertion(w.request()), "Assertion")
	cbc := w.sealedResponse(t, signed, encryption{content: xenc + "aes256-cbc", key: xenc + "rsa-oaep-mgf1p"})
	good := w.sealedResponse(t, signed, e)
	with := func(el, value string) string { // the last of its name
		i := strings.LastIndex(good, "<"+el+">") + len(el) + 2
		return good[:i] + value + good[i+strings.Index(good[i:], "<"):]
	}
	for _, tc := range []struct{ name, xml, cause string }{
		{"not signed", w.sealedResponse(t, goodAssertion(w.request()), e), "neither"},
		{"by a stranger", w.sealedResponse(t, attacker().signed(t, goodAssertion(w.request()), "Assertion"), e), "no certificate"},
		{"changed before it was encrypted", w.sealedResponse(t, strings.Replace(signed, ">anna<", ">admin<", 1), e), "no certificate"},
		{"with a comment in it (CVE-2026-57580)", w.sealedResponse(t, strings.Replace(signed, ">anna<", ">anna<!---->.evil<", 1), e), "comment"},
		{"with a document type in it", w.sealedResponse(t, "<!DOCTYPE x>"+signed, e), "declaration"},
		{"with two assertions", w.sealedResponse(t, signed+signed, e), "several roots"},
		{"with an assertion in the assertion", w.sealedResponse(t, strings.Replace(signed, "</saml:Subject>", "</saml:Subject><saml:Advice>"+goodAssertion("x")+"</saml:Advice>", 1), e), ""},
		{"which is no assertion", w.sealedResponse(t, "<x/>", e), "not one assertion"},
		{"which is no XML", w.sealedResponse(t, "hello", e), "root"},
		{"beside a plain one", strings.Replace(good, "</samlp:Response>", signed+"</samlp:Response>", 1), "2 assertions"},
		{"by RSA 1.5", w.sealedResponse(t, signed, encryption{content: e.content, key: xenc + "rsa-1_5"}), "is not allowed"},
		{"by Triple DES", strings.Replace(good, xenc11+"aes256-gcm", xenc+"tripledes-cbc", 1), "is not allowed"},
		{"with a key of the wrong length", strings.Replace(good, xenc11+"aes256-gcm", xenc11+"aes128-gcm", 1), "wrong length"},
		{"with a hash of OAEP that nobody knows", strings.Replace(good, "</xenc:EncryptionMethod>", `<ds:DigestMethod Algorithm="x"/></xenc:EncryptionMethod>`, 1), "OAEP"},
		{"with less than a nonce", with("xenc:CipherValue", "AAAA"), "too short"},
		{"with nothing", with("xenc:CipherValue", ""), "too short"},
		{"not in base64", with("xenc:CipherValue", "!"), "base64"},
		{"with another tag", with("xenc:CipherValue", base64.StdEncoding.EncodeToString(make([]byte, 600))), "authentication failed"},
		{"without a key", strings.Replace(strings.Replace(good, "<xenc:EncryptedKey>", "<xenc:Other>", 1), "</xenc:EncryptedKey>", "</xenc:Other>", 1), "0 encrypted keys"},
		{"with five keys", strings.Replace(good, "<ds:KeyInfo>", "<ds:KeyInfo>"+strings.Repeat("<xenc:EncryptedKey/>", 4), 1), "5 encrypted keys"},
		{"by reference", strings.ReplaceAll(strings.ReplaceAll(good, "<xenc:CipherValue>", `<xenc:CipherReference URI="http://127.0.0.1/">`), "</xenc:CipherValue>", "</xenc:CipherReference>"), "no CipherValue"},
		{"CBC, cut short", cbc[:strings.LastIndex(cbc, "</xenc:CipherValue>")-4] + cbc[strings.LastIndex(cbc, "</xenc:CipherValue>"):], ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := w.finish(tc.xml)
			mustRefuse(t, id, err, model.CredentialInvalid, tc.cause)
			// One answer to all of them is what keeps decryption from being an oracle.
			if m := model.AsError(err).Message; m != model.AsError(refused(nil)).Message {
				t.Errorf("it is told apart: %q", m)
			}
		})
	}
}

func TestAnAssertionForAnotherKeyCannotBeRead(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	other.sp.o.Dir = t.TempDir()
	e := encryption{content: xenc11 + "aes256-gcm", key: xenc + "rsa-oaep-mgf1p"}
	id, err := w.finish(other.sealedResponse(t, idpSigner().signed(t, goodAssertion(w.request()), "Assertion"), e))
	mustRefuse(t, id, err, model.CredentialInvalid, "decrypting the key")
}
