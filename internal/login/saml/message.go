package saml

import (
	"bytes"
	"compress/flate"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
)

// message is one that a browser brought, parsed and not yet proven.
type message struct {
	root  *etree.Element
	param string // SAMLRequest or SAMLResponse
	relay string
	// With the Redirect binding the signature is beside the message.
	detached bool
	signed   string // what it is over
	method   string
	sig      []byte
}

// received reads the message of a request, by POST or Redirect.
func received(back *flow.Return) (*message, error) {
	if back == nil || back.Request == nil || back.Request.URL == nil {
		return nil, errors.New("there is no request")
	}
	if back.Request.Method == http.MethodPost {
		return posted(back.Form)
	}
	return redirected(back.Request.URL.RawQuery)
}

func posted(form url.Values) (*message, error) {
	m := &message{}
	for _, param := range []string{"SAMLRequest", "SAMLResponse"} {
		switch v := form[param]; {
		case len(v) == 0:
		case len(v) > 1 || m.param != "":
			return nil, errors.New("the form has several messages")
		default:
			m.param = param
		}
	}
	if m.param == "" {
		return nil, errors.New("the form has no message")
	}
	if relay := form["RelayState"]; len(relay) == 1 {
		m.relay = relay[0]
	} else if len(relay) > 1 {
		return nil, errors.New("the form has several RelayStates")
	}
	b, err := xmlsec.Decode(form.Get(m.param))
	if err != nil {
		return nil, err
	}
	m.root, err = xmlsec.Parse(b)
	return m, err
}

// redirected reads the query as it is written, for the signature is over that
// (SAML bindings 3.4.4.1): what is verified and what is used are the same bytes.
func redirected(raw string) (*message, error) {
	if len(raw) > xmlsec.MaxEncoded {
		return nil, errors.New("the query is too long")
	}
	have := make(map[string]string)
	for _, pair := range strings.Split(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return nil, errors.New("the query is malformed")
		}
		switch plain {
		case "SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding":
			if _, twice := have[plain]; twice || plain != name {
				return nil, fmt.Errorf("%s is there twice, or is written in an odd way", plain)
			}
			have[plain] = value
		}
	}
	m := &message{detached: true, param: "SAMLRequest"}
	packed, ok := have["SAMLRequest"]
	if response, also := have["SAMLResponse"]; also {
		if ok {
			return nil, errors.New("the query has several messages")
		}
		m.param, packed, ok = "SAMLResponse", response, true
	}
	if !ok {
		return nil, errors.New("the query has no message")
	}
	if e, ok := have["SAMLEncoding"]; ok && e != url.QueryEscape(deflate) {
		return nil, errors.New("the encoding is not DEFLATE")
	}
	m.signed = m.param + "=" + packed
	if relay, ok := have["RelayState"]; ok {
		m.signed += "&RelayState=" + relay
	}
	if method, ok := have["SigAlg"]; ok {
		m.signed += "&SigAlg=" + method
	}
	return m, m.unpack(packed, have)
}

const deflate = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"

func (m *message) unpack(packed string, have map[string]string) (err error) {
	if m.relay, err = url.QueryUnescape(have["RelayState"]); err != nil {
		return err
	}
	if m.method, err = url.QueryUnescape(have["SigAlg"]); err != nil {
		return err
	}
	sig, err := url.QueryUnescape(have["Signature"])
	if err != nil {
		return err
	}
	if m.sig, err = base64.StdEncoding.DecodeString(sig); err != nil {
		return fmt.Errorf("the signature is not base64: %w", err)
	}
	text, err := url.QueryUnescape(packed)
	if err != nil {
		return err
	}
	b, err := xmlsec.Decode(text)
	if err != nil {
		return err
	}
	if b, err = inflate(b); err != nil {
		return err
	}
	m.root, err = xmlsec.Parse(b)
	return err
}

// inflate unpacks no more than a message may have: a few kilobytes can be gigabytes
// (CVE-2023-28119).
func inflate(b []byte) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(b))
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, xmlsec.MaxMessage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the message is not DEFLATE: %w", err)
	case len(out) > xmlsec.MaxMessage:
		return nil, errors.New("the message unpacks to more than 256 KiB")
	}
	return out, nil
}

// proven is the message as it was signed, by whichever binding it came.
func (m *message) proven(certs []*x509.Certificate, now time.Time) (*etree.Element, error) {
	count := signatures(m.root)
	if !m.detached {
		if count != 1 {
			return nil, fmt.Errorf("the message has %d signatures", count)
		}
		return xmlsec.Verify(m.root, certs, now)
	}
	if count != 0 {
		return nil, errors.New("the message has a signature within and another beside it")
	}
	if err := xmlsec.VerifyDetached(certs, m.method, m.signed, m.sig); err != nil {
		return nil, err
	}
	return m.root, nil
}

// signatures counts what looks like a signature in any namespace, anywhere.
func signatures(el *etree.Element) int {
	return xmlsec.Count(el, func(tag string) bool { return tag == "Signature" })
}

// assertions counts what looks like an assertion, encrypted or not, in any
// namespace, anywhere.
func assertions(el *etree.Element) int {
	return xmlsec.Count(el, func(tag string) bool { return tag == "Assertion" || tag == "EncryptedAssertion" })
}

// addressed checks what all messages have: version, id, age, issuer, destination.
func addressed(el *etree.Element, issuer, destination string, now time.Time) (id string, issued time.Time, err error) {
	if v := xmlsec.Attr(el, "Version"); v != "2.0" {
		return "", issued, fmt.Errorf("its version is %q", xmlsec.Clip(v))
	}
	if id = xmlsec.Attr(el, "ID"); id == "" || len(id) > 256 {
		return "", issued, errors.New("it has no ID, or a long one")
	}
	if issued, err = fresh(el, now); err != nil {
		return "", issued, err
	}
	by, err := xmlsec.Optional(el, nsAssertion, "Issuer")
	if err != nil {
		return "", issued, err
	}
	if by == nil {
		return "", issued, errors.New("it names no issuer")
	}
	if err := xmlsec.SameText(by, issuer); err != nil {
		return "", issued, err
	}
	if d := xmlsec.Attr(el, "Destination"); d != destination {
		return "", issued, fmt.Errorf("it is for %q, and not for %q", xmlsec.Clip(d), destination)
	}
	return id, issued, nil
}

// fresh reads when a message was issued: not in the future, and not long ago.
func fresh(el *etree.Element, now time.Time) (time.Time, error) {
	t, err := xmlsec.Instant(el, "IssueInstant")
	switch {
	case err != nil:
		return t, err
	case t.IsZero():
		return t, fmt.Errorf("%s does not say when it was issued", el.Tag)
	case t.After(now.Add(skew)):
		return t, fmt.Errorf("%s was issued at %s, which is yet to come: a clock is wrong", el.Tag, t.UTC().Format(time.RFC3339))
	case !t.After(now.Add(-maxAge - skew)):
		return t, fmt.Errorf("%s was issued at %s, which is too long ago", el.Tag, t.UTC().Format(time.RFC3339))
	}
	return t, nil
}
