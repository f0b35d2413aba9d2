package saml

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"net/url"
	"strings"
	"testing"

	schema "github.com/crewjam/saml"

	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
)

func TestTheRequestIsSignedAndSaysWhatWeWant(t *testing.T) {
	w := newWorld(t)
	d, err := w.sp.Begin(context.Background(), w.attempt)
	if err != nil || d.Form != nil {
		t.Fatal(d, err)
	}
	u, err := url.Parse(d.URL)
	if err != nil || u.Host != "idp.example.com" || u.Path != "/sso" {
		t.Fatal(d.URL)
	}
	m, err := redirected(u.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	own, _ := w.sp.ownPair()
	root, err := m.proven([]*x509.Certificate{own.cert}, clock)
	if err != nil {
		t.Fatal(err)
	}
	query, sig, _ := strings.Cut(u.RawQuery, "&Signature=")
	digest := sha256.Sum256([]byte(query))
	sig, _ = url.QueryUnescape(sig)
	raw, _ := base64.StdEncoding.DecodeString(sig)
	if err := rsa.VerifyPKCS1v15(&own.key.PublicKey, crypto.SHA256, digest[:], raw); err != nil {
		t.Errorf("by a second reading: %v", err)
	}
	var r schema.AuthnRequest
	if err := xml.Unmarshal([]byte(written(t, root)), &r); err != nil {
		t.Fatal(err)
	}
	if r.ID != w.request() || r.Destination != "https://idp.example.com/sso" || r.Issuer.Value != spEntity || r.AssertionConsumerServiceURL != acsURL ||
		r.ProtocolBinding != schema.HTTPPostBinding || r.ForceAuthn != nil || !*r.NameIDPolicy.AllowCreate ||
		*r.NameIDPolicy.Format != string(schema.UnspecifiedNameIDFormat) || !r.IssueInstant.Equal(clock) || m.relay != theState {
		t.Errorf("got %s", written(t, root))
	}
	if strings.Contains(d.URL, w.attempt.Secret) || len(r.ID) < 60 {
		t.Error("the id tells the secret, or could be guessed")
	}
}

func TestIDsAreOfOneAttemptAlone(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{requestID(w.attempt, "login"): true, requestID(w.attempt, "logout"): true}
	w.attempt.Secret = strings.Repeat("t", 43)
	seen[requestID(w.attempt, "login")] = true
	w.provider.Name = "other"
	seen[requestID(w.attempt, "login")] = true
	if len(seen) != 4 {
		t.Error("two ids are one")
	}
	w.attempt.Secret = ""
	if _, err := w.sp.Begin(context.Background(), w.attempt); err == nil {
		t.Error("an attempt without a secret began")
	}
}

func TestAProviderWithoutRedirectGetsASignedForm(t *testing.T) {
	w := newWorld(t)
	w.serve(strings.Replace(idpMetadata(idpSigner()), `HTTP-Redirect" Location="https://idp.example.com/sso"`, `URI" Location="https://idp.example.com/sso"`, 1), nil)
	d, err := w.sp.Begin(context.Background(), w.attempt)
	if err != nil || d.URL != "https://idp.example.com/sso/post" || d.Form.Get("RelayState") != theState {
		t.Fatal(d, err)
	}
	m, err := posted(d.Form)
	if err != nil {
		t.Fatal(err)
	}
	own, _ := w.sp.ownPair()
	root, err := m.proven([]*x509.Certificate{own.cert}, clock)
	if err != nil || xmlsec.Attr(root, "ID") != w.request() || xmlsec.Attr(root, "Destination") != d.URL {
		t.Fatal(root, err)
	}
	raw, _ := base64.StdEncoding.DecodeString(d.Form.Get("SAMLRequest"))
	if i, s, p := bytes.Index(raw, []byte("Issuer>")), bytes.Index(raw, []byte("Signature ")), bytes.Index(raw, []byte("NameIDPolicy")); i > s || s > p {
		t.Errorf("the schema wants Issuer, Signature, and then the rest: %s", raw)
	}
}

// SAML bindings 3.4.3 and 3.5.3: what is longer than 80 bytes is not sent anywhere.
func TestALongRelayStateIsNotSent(t *testing.T) {
	w := newWorld(t)
	for n, fine := range map[int]bool{0: true, 80: true, 81: false, 4000: false} {
		a := *w.attempt
		a.State = strings.Repeat("s", n)
		if d, err := w.sp.Begin(context.Background(), &a); (err == nil) != fine || (d != nil) != fine {
			t.Errorf("a login with %d bytes: %v %v", n, d, err)
		}
		if d, err := w.sp.End(context.Background(), &a, []byte(`{"NameID":{"Value":"x"}}`), nil); err == nil && !fine {
			t.Errorf("a logout with %d bytes: %v", n, d)
		}
	}
}
