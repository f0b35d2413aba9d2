package authn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
)

func TestSubjectsAreWrittenAsRFC4514Says(t *testing.T) {
	oid := func(n ...int) asn1.ObjectIdentifier { return n }
	cn, o, ou, c := oid(2, 5, 4, 3), oid(2, 5, 4, 10), oid(2, 5, 4, 11), oid(2, 5, 4, 6)
	at := func(id asn1.ObjectIdentifier, v any) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: id, Value: v}
	}
	one := func(list ...pkix.AttributeTypeAndValue) (seq pkix.RDNSequence) {
		for _, a := range list {
			seq = append(seq, pkix.RelativeDistinguishedNameSET{a})
		}
		return seq
	}
	for _, tc := range []struct {
		name string
		seq  pkix.RDNSequence
		want string
	}{
		{"the last part first", one(at(c, "DE"), at(o, "Example"), at(cn, "alice")), "CN=alice,O=Example,C=DE"},
		{"the order is kept", one(at(cn, "alice"), at(o, "Example"), at(c, "DE")), "C=DE,O=Example,CN=alice"},
		{"repeated parts", one(at(ou, "a"), at(ou, "b")), "OU=b,OU=a"},
		{"special characters", one(at(cn, `a,b+c"d\e<f>g;h`)), `CN=a\,b\+c\"d\\e\<f\>g\;h`},
		{"outer spaces and a number sign", one(at(cn, " #x ")), `CN=\ #x\ `},
		{"a number sign in front", one(at(cn, "#x")), `CN=\#x`},
		{"a control character", one(at(cn, "a\x00b")), `CN=a\00b`},
		{"letters beyond ASCII", one(at(cn, "Zoë")), "CN=Zoë"},
		{"an unknown type", one(at(oid(1, 2, 3), "x")), "1.2.3=#130178"},
		{"a part of two", pkix.RDNSequence{{at(cn, "a"), at(o, "b")}}, "CN=a+O=b"},
		{"a forged separator", one(at(cn, "alice,O=Example")), `CN=alice\,O=Example`},
		{"nothing", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw, err := asn1.Marshal(tc.seq)
			if err != nil {
				t.Fatal(err)
			}
			if got := Subject(&x509.Certificate{RawSubject: raw}); got != tc.want {
				t.Errorf("got %s", got)
			}
		})
	}
	if Subject(&x509.Certificate{RawSubject: []byte{1, 2, 3}}) != "" {
		t.Error("a broken subject has a form")
	}
}

func TestCertificatesAnswerToTheirOwnNamesAlone(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "front"}, DNSNames: []string{"front.example.com"},
		EmailAddresses: []string{"front@example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := x509.ParseCertificate(der)
	for name, want := range map[string]bool{
		"CN=front": true, "front.example.com": true, "FRONT.example.com": true, "front@example.com": true, Fingerprint(c): true,
		"": false, "front": false, "CN=fron": false, "example.com": false, "cn=front": false, "Front@example.com": false,
	} {
		if certificateIs(c, name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
