package xmlsec

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/beevik/etree"
	validator "github.com/mattermost/xml-roundtrip-validator"
)

// Bounds of a message: of its XML, and of its base64 with line breaks, in bytes.
const (
	MaxMessage = 256 << 10
	MaxEncoded = MaxMessage/3*4 + MaxMessage/16

	maxDepth      = 48
	maxElements   = 8192
	maxAttributes = 64 // of an element, with the namespaces that it declares
	maxScope      = 48 // namespaces that are declared around an element
)

// Namespaces of XML Signature and XML Encryption.
const (
	NSDSig = "http://www.w3.org/2000/09/xmldsig#"
	NSXEnc = "http://www.w3.org/2001/04/xmlenc#"
)

// Decode undoes the base64 of a message. Line breaks are allowed, as providers
// wrap lines; whatever else does not belong there is not.
func Decode(text string) ([]byte, error) {
	if len(text) > MaxEncoded {
		return nil, errors.New("the message is larger than 256 KiB")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the message is not base64: %w", err)
	}
	return b, nil
}

// Parse reads a message that every reader of XML reads alike, or refuses it.
//
// Comments, instructions, declarations and CDATA have no place in a SAML message,
// but are what readers have differed about: a comment cut a name in two for one of
// them (CVE-2026-57580, CVE-2025-25291, CVE-2025-25292), an entity grew without
// bounds. In XML each of them begins with a "<" that can stand for nothing else, so
// that looking for it finds them all. Names that do not survive being written and
// read again (CVE-2020-29509) are refused by the validator.
func Parse(b []byte) (*etree.Element, error) {
	if len(b) > MaxMessage {
		return nil, errors.New("the message is larger than 256 KiB")
	}
	if !utf8.Valid(b) {
		return nil, errors.New("the message is not UTF-8")
	}
	body := b
	if bytes.HasPrefix(b, []byte("<?xml ")) {
		end := bytes.Index(b, []byte("?>"))
		if end < 0 || !plainDeclaration(string(b[len("<?xml "):end])) {
			return nil, errors.New("the XML declaration is not one of XML 1.0 in UTF-8")
		}
		body = b[end+2:]
	}
	if bytes.Contains(body, []byte("<!")) || bytes.Contains(body, []byte("<?")) {
		return nil, errors.New("the message has a comment, an instruction, a declaration or CDATA")
	}
	if bytes.Count(body, []byte("<")) > 2*maxElements {
		return nil, errors.New("the message has too many elements or attributes")
	}
	if err := validator.Validate(bytes.NewReader(body)); err != nil {
		return nil, fmt.Errorf("the message is not XML that can be read in one way alone: %w", err)
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{PreserveDuplicateAttrs: true, MaxDepth: maxDepth}
	if err := doc.ReadFromBytes(body); err != nil {
		return nil, fmt.Errorf("the message is not XML: %w", err)
	}
	root, err := soleRoot(doc)
	if err != nil {
		return nil, err
	}
	r := reading{ids: make(map[string]bool)}
	if err := r.unambiguous(root, 0); err != nil {
		return nil, err
	}
	return root, nil
}

func plainDeclaration(s string) bool {
	s = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(s), "'", `"`))
	rest, ok := strings.CutPrefix(s, `version="1.0"`)
	rest = strings.TrimSpace(rest)
	rest = strings.TrimSpace(strings.TrimPrefix(rest, `encoding="utf-8"`))
	return ok && (rest == "" || rest == `standalone="yes"` || rest == `standalone="no"`)
}

func soleRoot(doc *etree.Document) (*etree.Element, error) {
	var root *etree.Element
	for _, t := range doc.Child {
		switch t := t.(type) {
		case *etree.Element:
			if root != nil {
				return nil, errors.New("the message has several roots")
			}
			root = t
		case *etree.CharData:
			if strings.Trim(t.Data, " \t\r\n") != "" {
				return nil, errors.New("the message has text beside its root")
			}
		}
	}
	if root == nil {
		return nil, errors.New("the message has no root")
	}
	return root, nil
}

// reading is what is known of a message while it is walked through.
type reading struct {
	ids      map[string]bool
	elements int
}

// unambiguous refuses prefixes that nobody declared, attributes that are there
// twice, and ids that are: what a signature refers to is one element. It also bounds
// what grows by the product of elements and declarations, of which a quarter of a
// megabyte can hold enough to keep a processor busy.
func (r *reading) unambiguous(el *etree.Element, scope int) error {
	if r.elements++; r.elements > maxElements || len(el.Attr) > maxAttributes {
		return errors.New("the message has too many elements or attributes")
	}
	for i := range el.Attr {
		if a := &el.Attr[i]; a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns" {
			scope++
		}
	}
	if scope > maxScope {
		return errors.New("the message has too many namespaces")
	}
	if el.Space != "" && el.NamespaceURI() == "" {
		return fmt.Errorf("the prefix %q is not declared", Clip(el.Space))
	}
	if err := r.attributes(el); err != nil {
		return err
	}
	for _, c := range el.ChildElements() {
		if err := r.unambiguous(c, scope); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) attributes(el *etree.Element) error {
	seen := make(map[[2]string]bool, len(el.Attr))
	for i := range el.Attr {
		a := &el.Attr[i]
		space := a.Space
		switch {
		case a.Space == "xmlns" && (a.Key == "xml" || a.Key == "xmlns" || a.Value == ""):
			return errors.New("a reserved prefix is declared, or one is taken back")
		case a.Space == "xmlns", a.Space == "", a.Space == "xml":
		default:
			if space = a.NamespaceURI(); space == "" {
				return fmt.Errorf("the prefix %q is not declared", Clip(a.Space))
			}
		}
		if seen[[2]string{space, a.Key}] {
			return fmt.Errorf("the attribute %q is there twice", Clip(a.Key))
		}
		seen[[2]string{space, a.Key}] = true
		if !strings.EqualFold(a.Key, "id") || a.Space == "xmlns" {
			continue
		}
		if a.Space != "" {
			return errors.New("an id is in a namespace")
		}
		if r.ids[a.Value] {
			return fmt.Errorf("the id %q is there twice", Clip(a.Value))
		}
		r.ids[a.Value] = true
	}
	return nil
}

// Is says whether an element has this name in this namespace.
func Is(el *etree.Element, space, tag string) bool {
	return el.Tag == tag && el.NamespaceURI() == space
}

// Attr is an attribute in no namespace; etree's own look-up takes one of any.
func Attr(el *etree.Element, key string) string {
	for i := range el.Attr {
		if el.Attr[i].Space == "" && el.Attr[i].Key == key {
			return el.Attr[i].Value
		}
	}
	return ""
}

// Children are the child elements of a name.
func Children(el *etree.Element, space, tag string) (list []*etree.Element) {
	for _, c := range el.ChildElements() {
		if Is(c, space, tag) {
			list = append(list, c)
		}
	}
	return list
}

// Optional is the one child of a name; nil = there is none, an error = there are more.
func Optional(el *etree.Element, space, tag string) (*etree.Element, error) {
	list := Children(el, space, tag)
	switch len(list) {
	case 0:
		return nil, nil
	case 1:
		return list[0], nil
	}
	return nil, fmt.Errorf("%s has %d elements %s", el.Tag, len(list), tag)
}

// Required is the one child of a name.
func Required(el *etree.Element, space, tag string) (*etree.Element, error) {
	c, err := Optional(el, space, tag)
	if err == nil && c == nil {
		err = fmt.Errorf("%s has no %s", el.Tag, tag)
	}
	return c, err
}

// Text is what an element says; elements within it would make that ambiguous.
func Text(el *etree.Element) (string, error) {
	var b strings.Builder
	for _, t := range el.Child {
		c, ok := t.(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", el.Tag)
		}
		b.WriteString(c.Data)
	}
	return b.String(), nil
}

// Instant reads an attribute of type dateTime; the zero time = it is not there. SAML
// core 1.3.3 wants UTC; a zone that is written out is as clear, a missing one is not.
func Instant(el *etree.Element, key string) (time.Time, error) {
	v := Attr(el, key)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil || t.IsZero() {
		return time.Time{}, fmt.Errorf("%s of %s is no time: %q", key, el.Tag, Clip(v))
	}
	return t, nil
}

// Clip shortens what a stranger wrote, for logs.
func Clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// SameText wants an element to say just this.
func SameText(el *etree.Element, want string) error {
	s, err := Text(el)
	if err != nil {
		return err
	}
	if s != want {
		return fmt.Errorf("%s is %q, and not %q", el.Tag, Clip(s), want)
	}
	return nil
}

// Count counts the elements whose local name fits, in any namespace, anywhere.
func Count(el *etree.Element, fits func(tag string) bool) (n int) {
	if fits(el.Tag) {
		n++
	}
	for _, c := range el.ChildElements() {
		n += Count(c, fits)
	}
	return n
}
