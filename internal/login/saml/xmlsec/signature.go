package xmlsec

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrKey is a signature that none of the provider's certificates made: it may have
// new ones.
var ErrKey = errors.New("no certificate of the metadata verifies the signature")

// Algorithms that a signature may name. SHA-1 is not among them.
var (
	signatureMethods = map[string]x509.SignatureAlgorithm{
		dsig.RSASHA256SignatureMethod:   x509.SHA256WithRSA,
		dsig.RSASHA384SignatureMethod:   x509.SHA384WithRSA,
		dsig.RSASHA512SignatureMethod:   x509.SHA512WithRSA,
		dsig.ECDSASHA256SignatureMethod: x509.ECDSAWithSHA256,
		dsig.ECDSASHA384SignatureMethod: x509.ECDSAWithSHA384,
		dsig.ECDSASHA512SignatureMethod: x509.ECDSAWithSHA512,
	}
	digestMethods = map[string]bool{
		"http://www.w3.org/2001/04/xmlenc#sha256":       true,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": true,
		"http://www.w3.org/2001/04/xmlenc#sha512":       true,
	}
)

const (
	exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
)

// Verify answers what an element says by its own signature: read anew from the very
// bytes that were digested, so that nothing that stood around them can be taken for
// signed (XSW, CVE-2022-41912). Keys in the message itself are not looked at
// (CVE-2026-9090): what they say is cut out first.
func Verify(el *etree.Element, certs []*x509.Certificate, now time.Time) (*etree.Element, error) {
	el = detach(el)
	sig, err := Required(el, NSDSig, "Signature")
	if err != nil {
		return nil, err
	}
	method, err := shape(el, sig)
	if err != nil {
		return nil, fmt.Errorf("the signature: %w", err)
	}
	for _, info := range Children(sig, NSDSig, "KeyInfo") {
		sig.RemoveChild(info)
	}
	// It is looked for among a bounded number of elements, and taken out before the
	// digest: so it may stand first, however many there are.
	el.RemoveChild(sig)
	el.InsertChildAt(0, sig)
	cause := errors.New("there are no certificates")
	for _, cert := range certs {
		candidate := el
		if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); ok {
			if candidate, err = asASN1(el, pub); err != nil {
				cause = err
				continue
			}
		}
		if cert.PublicKeyAlgorithm != algorithmOf(signatureMethods[method]) {
			cause = errors.New("its algorithm is not one of the certificate's key")
			continue
		}
		ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
		ctx.Clock = dsig.NewFakeClockAt(now)
		out, err := ctx.Validate(candidate)
		if err != nil {
			cause = err
			continue
		}
		if out == nil || !Is(out, el.NamespaceURI(), el.Tag) || Attr(out, "ID") != Attr(el, "ID") {
			return nil, errors.New("the signature is over something else")
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrKey, cause)
}

func algorithmOf(a x509.SignatureAlgorithm) x509.PublicKeyAlgorithm {
	switch a {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return x509.ECDSA
	}
	return x509.RSA
}

// detach copies an element out of its tree with the namespaces in scope there, as
// canonical form is asked for it and for nothing around it.
func detach(el *etree.Element) *etree.Element {
	out := el.Copy()
	have := make(map[string]bool)
	declared := func(a *etree.Attr) bool { return a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns" }
	for i := range out.Attr {
		if a := &out.Attr[i]; declared(a) {
			have[a.FullKey()] = true
		}
	}
	for up := el.Parent(); up != nil; up = up.Parent() {
		for i := range up.Attr {
			if a := &up.Attr[i]; declared(a) && !have[a.FullKey()] {
				have[a.FullKey()] = true
				out.CreateAttr(a.FullKey(), a.Value)
			}
		}
	}
	return out
}

// shape asks a signature for exactly the form that SAML core 5.4 has: enveloped, with
// one reference to the element that it stands in, and no room for objects, XPath or
// other transforms. It answers the method.
func shape(el, sig *etree.Element) (string, error) {
	id := Attr(el, "ID")
	if id == "" {
		return "", errors.New("the signed element has no ID")
	}
	parts, err := exactly(sig, "SignedInfo", "SignatureValue", "KeyInfo?")
	if err != nil {
		return "", err
	}
	info, err := exactly(parts[0], "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return "", err
	}
	if a, err := algorithm(info[0]); err != nil || a != exclusive {
		return "", fmt.Errorf("canonicalization by %q", Clip(a))
	}
	method, err := algorithm(info[1])
	if err != nil {
		return "", err
	}
	if _, ok := signatureMethods[method]; !ok || len(info[1].ChildElements()) > 0 {
		return "", fmt.Errorf("its method %q is not allowed", Clip(method))
	}
	ref, err := exactly(info[2], "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return "", err
	}
	if Attr(info[2], "URI") != "#"+id {
		return "", fmt.Errorf("it refers to %q and stands in %q", Clip(Attr(info[2], "URI")), Clip(id))
	}
	if a, err := algorithm(ref[1]); err != nil || !digestMethods[a] || len(ref[1].ChildElements()) > 0 {
		return "", fmt.Errorf("its digest %q is not allowed", Clip(a))
	}
	transforms, err := exactly(ref[0], "Transform", "Transform")
	if err != nil {
		return "", err
	}
	first, err1 := algorithm(transforms[0])
	second, err2 := algorithm(transforms[1])
	if err1 != nil || err2 != nil || first != enveloped || second != exclusive || len(transforms[0].ChildElements()) > 0 {
		return "", fmt.Errorf("its transforms %q, %q are not allowed", Clip(first), Clip(second))
	}
	return method, nil
}

// exactly answers the children of an element, which must be these, in this order;
// one with a question mark may be left out.
func exactly(el *etree.Element, tags ...string) (list []*etree.Element, err error) {
	have := el.ChildElements()
	for _, tag := range tags {
		tag, may := strings.CutSuffix(tag, "?")
		switch {
		case len(have) > 0 && Is(have[0], NSDSig, tag):
			list, have = append(list, have[0]), have[1:]
		case !may:
			return nil, fmt.Errorf("%s has no %s in its place", el.Tag, tag)
		}
	}
	if len(have) > 0 {
		return nil, fmt.Errorf("%s has %s, which does not belong there", el.Tag, Clip(have[0].Tag))
	}
	return list, nil
}

func algorithm(el *etree.Element) (string, error) {
	value, n := "", 0
	for i := range el.Attr {
		switch a := &el.Attr[i]; {
		case a.Space == "xmlns", a.Space == "" && a.Key == "xmlns":
		case a.Space == "" && a.Key == "Algorithm":
			value = a.Value
		default:
			n++
		}
	}
	if n > 0 || value == "" {
		return value, fmt.Errorf("%s has other attributes than Algorithm", el.Tag)
	}
	return value, nil
}

// asASN1 writes an ECDSA signature, which XML Signature (6.4.3) has as r and s side
// by side, in the form that crypto/x509 verifies.
func asASN1(el *etree.Element, pub *ecdsa.PublicKey) (*etree.Element, error) {
	el = el.Copy()
	sig, err := Required(el, NSDSig, "Signature")
	if err != nil {
		return nil, err
	}
	value, err := Required(sig, NSDSig, "SignatureValue")
	if err != nil {
		return nil, err
	}
	s, err := Text(value)
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, err
	}
	der, err := ecdsaASN1(raw, pub)
	if err != nil {
		return nil, err
	}
	value.SetText(base64.StdEncoding.EncodeToString(der))
	return el, nil
}

func ecdsaASN1(raw []byte, pub *ecdsa.PublicKey) ([]byte, error) {
	n := (pub.Curve.Params().BitSize + 7) / 8
	if len(raw) != 2*n {
		return nil, errors.New("the ECDSA signature is not as long as the key makes it")
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:n]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[n:]))
	})
	return b.Bytes()
}
