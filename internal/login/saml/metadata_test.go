package saml

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	schema "github.com/crewjam/saml"

	"github.com/sallyport/sallyport/internal/model"
)

func TestOurMetadataSaysWhatProvidersNeed(t *testing.T) {
	w := newWorld(t)
	b, err := w.sp.Metadata(w.provider, w.attempt.Base)
	if err != nil {
		t.Fatal(err)
	}
	var d schema.EntityDescriptor
	if err := xml.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "validUntil") || strings.Contains(string(b), "cacheDuration") || strings.Contains(string(b), `=""`) {
		t.Errorf("it has attributes that say nothing:\n%s", b)
	}
	sp := d.SPSSODescriptors[0]
	if d.EntityID != spEntity || !*sp.AuthnRequestsSigned || !*sp.WantAssertionsSigned || len(sp.AssertionConsumerServices) != 1 ||
		sp.AssertionConsumerServices[0].Location != acsURL || sp.AssertionConsumerServices[0].Binding != schema.HTTPPostBinding || len(sp.SingleLogoutServices) != 2 {
		t.Errorf("got\n%s", b)
	}
	own, _ := w.sp.ownPair()
	uses := ""
	for _, k := range sp.KeyDescriptors {
		uses += k.Use + " "
		if k.KeyInfo.X509Data.X509Certificates[0].Data != base64.StdEncoding.EncodeToString(own.cert.Raw) {
			t.Error("another certificate")
		}
	}
	if uses != "signing encryption " || strings.Contains(string(b), "PRIVATE") {
		t.Errorf("keys for %s", uses)
	}
	w.provider.EntityID = "urn:our:name"
	if b, _ = w.sp.Metadata(w.provider, w.attempt.Base); !strings.Contains(string(b), `entityID="urn:our:name"`) {
		t.Errorf("got\n%s", b)
	}
}

func TestOurKeyIsMadeOnceAndKeptToOurselves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "saml")
	var a, b ownKey
	one, err := a.load(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.load(dir, clock)
	if err != nil || !one.key.Equal(two.key) || !one.cert.Equal(two.cert) {
		t.Errorf("another key after a restart: %v", err)
	}
	path := filepath.Join(dir, "keys", "saml.pem")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if info, _ := os.Stat(filepath.Dir(path)); info.Mode().Perm() != 0o700 {
		t.Errorf("got %v", info.Mode())
	}
	for _, junk := range []string{"", "junk", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		os.WriteFile(path, []byte(junk), 0o600)
		if _, err := new(ownKey).load(dir, clock); err == nil {
			t.Errorf("%q is a key", junk)
		}
		if left, _ := os.ReadFile(path); string(left) != junk {
			t.Error("a file that is not understood was replaced")
		}
	}
	if one.cert.NotAfter.Before(clock.Add(10 * year)) {
		t.Error("providers would have to be told of a new certificate too soon")
	}
}

func TestMetadataThatIsRefused(t *testing.T) {
	good := idpMetadata(idpSigner())
	weak := newSigner(newRSA(1024), clock.Add(-year), clock.Add(year))
	for _, tc := range []struct{ name, document, cause string }{
		{"nothing", "", "no SAML metadata"},
		{"HTML", "<html/>", "no SAML metadata"},
		{"JSON", "{}", "no SAML metadata"},
		{"a document type", "<!DOCTYPE x>" + good, "document type"},
		{"a service, and no identity provider", strings.ReplaceAll(good, "IDPSSODescriptor", "SPSSODescriptor"), "no identity provider"},
		{"an identity provider of SAML 1.1", strings.Replace(good, "urn:oasis:names:tc:SAML:2.0:protocol", "urn:oasis:names:tc:SAML:1.1:protocol", 1), "no identity provider"},
		{"no name", strings.Replace(good, idpEntity, "", 1), "no entityID"},
		{"no certificates", idpMetadata(), "no certificate"},
		{"a certificate that is none", strings.Replace(good, base64.StdEncoding.EncodeToString(idpSigner().cert.Raw), "AAAA", 1), "cannot be read"},
		{"a key of 1024 bits", idpMetadata(weak), "too weak"},
		{"certificates for encryption alone", strings.ReplaceAll(good, `use="signing"`, `use="encryption"`), "no certificate"},
		{"sign-on without TLS", strings.ReplaceAll(good, "https://idp.example.com/sso", "http://idp.example.com/sso"), "not https"},
		{"sign-on by script", strings.ReplaceAll(good, "https://idp.example.com/sso", "javascript:alert(1)//"), "metadata"},
		{"several identity providers", "<md:EntitiesDescriptor xmlns:md='urn:oasis:names:tc:SAML:2.0:metadata'>" + cutDeclaration(good) + strings.Replace(cutDeclaration(good), idpEntity, "https://b", 1) + "</md:EntitiesDescriptor>", "several"},
		{"five megabytes", good + strings.Repeat(" ", 5<<20), "larger"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(tc.document, nil)
			_, err := w.sp.Begin(context.Background(), w.attempt)
			mustRefuse(t, nil, err, model.IdentityUnavailable, tc.cause)
			st, err := w.sp.Check(context.Background(), w.provider)
			if err == nil || st.Healthy || !strings.Contains(st.LastError, tc.cause) {
				t.Errorf("check: %+v, %v", st, err)
			}
		})
	}
}

func cutDeclaration(s string) string { return s[strings.Index(s, "<md:"):] }

func TestAnAggregateOfOneIdentityProviderIsRead(t *testing.T) {
	w := newWorld(t)
	service := `<md:EntityDescriptor entityID="https://sp"><md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"/></md:EntityDescriptor>`
	w.serve(`<md:EntitiesDescriptor validUntil="2026-05-04T13:00:00Z" xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">`+service+`<md:EntitiesDescriptor>`+cutDeclaration(idpMetadata(idpSigner()))+`</md:EntitiesDescriptor></md:EntitiesDescriptor>`, nil)
	if _, err := w.sp.Begin(context.Background(), w.attempt); err != nil {
		t.Fatal(err)
	}
	w.serve("", errors.New("down"))
	w.pass(61 * time.Minute)
	_, err := w.sp.Begin(context.Background(), w.attempt)
	mustRefuse(t, nil, err, model.IdentityUnavailable, "valid until")
}

func TestCertificatesRollOver(t *testing.T) {
	w := newWorld(t)
	sign := func(s *signer) string { return s.signed(t, goodResponse(w.request()), "Assertion") }
	if _, err := w.finish(sign(idpSigner())); err != nil {
		t.Fatal(err)
	}
	// The provider announces both, and then signs by the new one at once.
	w.serve(idpMetadata(idpSigner(), nextIDP()), nil)
	id, err := w.finish(sign(nextIDP()))
	mustRefuse(t, id, err, model.CredentialInvalid, "no certificate") // within the cool-down
	w.pass(11 * time.Second)
	for _, s := range []*signer{nextIDP(), idpSigner()} {
		if _, err := w.finish(sign(s)); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.asked(); n != 2 {
		t.Errorf("it was fetched %d times", n)
	}
	// The old one is taken away: an hour later it no longer counts.
	w.serve(idpMetadata(nextIDP()), nil)
	w.pass(time.Hour)
	w.sp.Begin(context.Background(), w.attempt)
	w.sp.running.Wait()
	w.now = clock
	id, err = w.finish(sign(idpSigner()))
	mustRefuse(t, id, err, model.CredentialInvalid, "no certificate")
	if _, err := w.finish(sign(nextIDP())); err != nil {
		t.Error(err)
	}
}

func TestStrangersCannotMakeUsAskTheProvider(t *testing.T) {
	w := newWorld(t)
	xml := attacker().signed(t, goodResponse(w.request()), "Assertion")
	for range 100 {
		w.finish(xml)
	}
	if n := w.asked(); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
}

func TestAProviderThatIsDownStopsLoginsOnlyWhereNothingIsKnownOfIt(t *testing.T) {
	w := newWorld(t)
	w.serve("", errors.New("no route to host"))
	_, err := w.sp.Begin(context.Background(), w.attempt)
	mustRefuse(t, nil, err, model.IdentityUnavailable, "no route")
	_, err = w.sp.Begin(context.Background(), w.attempt)
	mustRefuse(t, nil, err, model.IdentityUnavailable, "no route")
	if n := w.asked(); n != 1 {
		t.Errorf("within the cool-down it was asked %d times", n)
	}
	w.serve(idpMetadata(idpSigner()), nil)
	w.pass(11 * time.Second)
	if _, err := w.sp.Begin(context.Background(), w.attempt); err != nil {
		t.Fatal(err)
	}
	w.serve("<rubbish/>", nil)
	for range 3 {
		w.pass(2 * time.Hour)
		if _, err := w.sp.Begin(context.Background(), w.attempt); err != nil {
			t.Fatal(err)
		}
		w.sp.running.Wait()
	}
	st := w.sp.Status(w.provider)
	if st.Healthy || !strings.Contains(st.LastError, "no SAML metadata") || len(st.Certificates) != 1 || st.EntityID != idpEntity {
		t.Errorf("got %+v", st)
	}
}

func TestASlowProviderIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.sp.o.Patience = 50 * time.Millisecond
	w.sp.o.Fetch = func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
	begin := time.Now()
	_, err := w.sp.Begin(context.Background(), w.attempt)
	mustRefuse(t, nil, err, model.IdentityUnavailable, "in time")
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
	w.sp.Close()
}

func TestAMetadataFileIsReadAgainWhenItChanges(t *testing.T) {
	w := newWorld(t)
	w.provider.MetadataURL, w.provider.MetadataFile = "", "idp.xml"
	path := filepath.Join(w.sp.o.Base, "idp.xml")
	_, err := w.sp.Begin(context.Background(), w.attempt)
	mustRefuse(t, nil, err, model.IdentityUnavailable, "no such file")
	w.pass(11 * time.Second)
	os.WriteFile(path, []byte(idpMetadata(idpSigner())), 0o600)
	if _, err := w.sp.Begin(context.Background(), w.attempt); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(path, []byte(idpMetadata(idpSigner(), nextIDP())), 0o600)
	if _, err := w.finish(nextIDP().signed(t, goodResponse(w.request()), "Assertion")); err != nil {
		t.Errorf("after the change: %v", err)
	}
	os.Remove(path)
	if _, err := w.sp.Begin(context.Background(), w.attempt); err != nil {
		t.Errorf("what was known serves on: %v", err)
	}
	if w.asked() != 0 {
		t.Error("something was fetched")
	}
}

func TestExpiredCertificatesDoNotCount(t *testing.T) {
	old := newSigner(newRSA(2048), clock.Add(-year), clock.Add(-time.Hour))
	w := newWorld(t, old)
	_, err := w.sp.Begin(context.Background(), w.attempt)
	mustRefuse(t, nil, err, model.IdentityUnavailable, "expired")
	w = newWorld(t, old, idpSigner())
	id, err := w.finish(old.signed(t, goodResponse(w.request()), "Assertion"))
	mustRefuse(t, id, err, model.CredentialInvalid, "no certificate")
	st := w.sp.Status(w.provider)
	if !st.Healthy || len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "has expired") {
		t.Errorf("got %+v", st)
	}
}

func TestStatusTellsAll(t *testing.T) {
	w := newWorld(t)
	if st := w.sp.Status(w.provider); st.Healthy || st.LastFetch != nil || st.Certificates == nil || w.asked() != 0 {
		t.Errorf("before anything was asked: %+v", st)
	}
	st, err := w.sp.Check(context.Background(), w.provider)
	if err != nil || !st.Healthy || st.EntityID != idpEntity || st.SignOn != "https://idp.example.com/sso" || st.Logout == "" ||
		len(st.Certificates) != 1 || st.Certificates[0].Type != "RSA 2048" || !st.Certificates[0].FirstSeen.Equal(clock) || st.NextRefresh == nil {
		t.Errorf("got %+v, %v", st, err)
	}
	xml := strings.ReplaceAll(goodResponse(w.request()), `Version="2.0" IssueInstant="`+at(0), `Version="2.0" IssueInstant="`+at(-20*time.Second))
	if _, err := w.finish(idpSigner().signed(t, xml, "Assertion")); err != nil {
		t.Fatal(err)
	}
	if st := w.sp.Status(w.provider); st.ClockSkew != "-20s" {
		t.Errorf("got %q", st.ClockSkew)
	}
	w.provider.MetadataURL += "2"
	if st := w.sp.Status(w.provider); st.Healthy || st.EntityID != "" {
		t.Errorf("what another address said stands for this one: %+v", st)
	}
	w.sp.Retain(nil)
	if len(w.sp.sources) != 0 {
		t.Error("providers that are no more are remembered")
	}
}

func TestAuthoritiesInAChainSignNoAnswers(t *testing.T) {
	var idp identityProvider
	ca := *idpSigner().cert
	ca.IsCA = true
	if n := len((&identityProvider{certs: []*x509.Certificate{&ca}}).live(clock)); n != 1 {
		t.Errorf("%d", n)
	}
	idp.addCertificates([]schema.X509Certificate{{Data: base64.StdEncoding.EncodeToString(idpSigner().cert.Raw)}, {Data: "!"}, {Data: base64.StdEncoding.EncodeToString(idpSigner().cert.Raw)}})
	if len(idp.certs) != 1 || len(idp.warnings) != 1 {
		t.Errorf("%d, %v", len(idp.certs), idp.warnings)
	}
}
