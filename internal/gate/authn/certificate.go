package authn

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Fingerprint is the SHA-256 of a certificate's DER, in lower-case hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// attributes are the short names of RFC 4514, section 3, and two that OpenSSL
// prints by name and operators therefore copy.
var attributes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C",
	"2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
	"2.5.4.5": "serialNumber", "1.2.840.113549.1.9.1": "emailAddress",
}

// Subject is the certificate's subject in the string form of RFC 4514, as
// "openssl x509 -subject -nameopt RFC2253" prints it: the last part first. "" if
// it is empty or cannot be read.
//
// It is built from the DER and not from the parsed name, which has lost the order
// of the parts: two subjects that differ only in order are two subjects.
func Subject(c *x509.Certificate) string {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &seq); err != nil || len(rest) > 0 {
		return ""
	}
	var b strings.Builder
	for i := len(seq) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		for j, a := range seq[i] {
			if j > 0 {
				b.WriteByte('+')
			}
			writeAttribute(&b, a)
		}
	}
	return b.String()
}

func writeAttribute(b *strings.Builder, a pkix.AttributeTypeAndValue) {
	name, known := attributes[a.Type.String()]
	text, isText := a.Value.(string)
	if known && isText {
		b.WriteString(name + "=" + escapeDN(text))
		return
	}
	der, err := asn1.Marshal(a.Value)
	if err != nil {
		der = nil
	}
	b.WriteString(a.Type.String() + "=#" + hex.EncodeToString(der))
}

// escapeDN escapes as RFC 4514, section 2.4 demands.
func escapeDN(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case strings.IndexByte(`"+,;<>\`, c) >= 0, c == ' ' && (i == 0 || i == len(s)-1), c == '#' && i == 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c == 0x7f:
			b.WriteByte('\\')
			b.WriteString(hex.EncodeToString([]byte{c}))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// certificateIs says whether name is one of the certificate's: its fingerprint, a
// SAN (DNS, URI, e-mail) or its subject.
func certificateIs(c *x509.Certificate, name string) bool {
	if name == "" {
		return false
	}
	if f := model.NormalFingerprint(name); len(f) == 64 && f == Fingerprint(c) {
		return true
	}
	for _, d := range c.DNSNames {
		if model.EqualFold(d, name) {
			return true
		}
	}
	for _, u := range c.URIs {
		if u.String() == name {
			return true
		}
	}
	for _, e := range c.EmailAddresses {
		if e == name {
			return true
		}
	}
	return name == Subject(c)
}
