package saml

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
)

const bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

// identity reads a verified assertion: SAML core 2.3 to 2.7, and profiles 4.1.4.
func (x *expectation) identity(el *etree.Element) (*flow.Identity, error) {
	if v := xmlsec.Attr(el, "Version"); v != "2.0" {
		return nil, fmt.Errorf("its version is %q", xmlsec.Clip(v))
	}
	id := xmlsec.Attr(el, "ID")
	if id == "" || len(id) > 256 {
		return nil, errors.New("it has no ID, or a long one")
	}
	issued, err := fresh(el, x.now)
	if err != nil {
		return nil, err
	}
	issuer, err := xmlsec.Required(el, nsAssertion, "Issuer")
	if err != nil {
		return nil, err
	}
	if err := xmlsec.SameText(issuer, x.issuer); err != nil {
		return nil, err
	}
	subject, err := xmlsec.Required(el, nsAssertion, "Subject")
	if err != nil {
		return nil, err
	}
	name, err := readNameID(subject)
	if err != nil {
		return nil, err
	}
	until, err := x.confirmed(subject)
	if err != nil {
		return nil, err
	}
	if err := x.conditions(el); err != nil {
		return nil, err
	}
	session, err := x.session(el)
	if err != nil {
		return nil, err
	}
	claims, err := attributes(el)
	if err != nil {
		return nil, err
	}
	if oldest := issued.Add(maxAge); oldest.Before(until) {
		until = oldest
	}
	return x.person(name, session, claims, &flow.Identity{Issued: issued, Expires: session.end, Once: id, OnceUntil: until.Add(skew)})
}

// person puts together whom an assertion is about.
func (x *expectation) person(name *nameID, session *session, claims map[string]any, id *flow.Identity) (*flow.Identity, error) {
	var err error
	if id.Subject, err = name.subject(x.issuer, x.entityID); err != nil {
		return nil, err
	}
	id.SID = name.session(id.Subject, session.index)
	// What the assertion says of itself comes last: no attribute takes its place.
	claims["sub"], claims["nameID"], claims["nameIDFormat"] = id.Subject, name.Value, name.Format
	claims["authnInstant"] = session.authn.UTC().Format(time.RFC3339)
	delete(claims, "authnContext")
	if session.context != "" {
		claims["authnContext"] = session.context
	}
	id.Claims = claims
	id.Keep, err = json.Marshal(kept{NameID: *name, SessionIndex: session.index})
	return id, err
}

// confirmed wants one confirmation that whoever bears the assertion is its subject,
// for us, in answer to our request, and still (SAML profiles 4.1.4.2 and 4.1.4.3).
// It answers until when.
func (x *expectation) confirmed(subject *etree.Element) (until time.Time, err error) {
	cause := errors.New("the subject has no bearer confirmation")
	for _, c := range xmlsec.Children(subject, nsAssertion, "SubjectConfirmation") {
		if xmlsec.Attr(c, "Method") != bearer {
			continue
		}
		end, err := x.bearer(c)
		if err != nil {
			cause = err
			continue
		}
		if end.After(until) {
			until = end
		}
	}
	if until.IsZero() {
		return until, cause
	}
	return until, nil
}

func (x *expectation) bearer(c *etree.Element) (time.Time, error) {
	var none time.Time
	data, err := xmlsec.Required(c, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return none, err
	}
	if r := xmlsec.Attr(data, "Recipient"); r != x.acs {
		return none, fmt.Errorf("its Recipient is %q, and not %q", xmlsec.Clip(r), x.acs)
	}
	if r := xmlsec.Attr(data, "InResponseTo"); r != x.request {
		return none, x.wrongRequest(r)
	}
	_, end, err := x.within(data)
	if err != nil {
		return none, err
	}
	if end.IsZero() {
		return none, errors.New("its confirmation has no NotOnOrAfter")
	}
	return end, nil
}

// within checks an element's NotBefore and NotOnOrAfter, where it has them.
func (x *expectation) within(el *etree.Element) (begin, end time.Time, err error) {
	if begin, err = xmlsec.Instant(el, "NotBefore"); err != nil {
		return begin, end, err
	}
	if end, err = xmlsec.Instant(el, "NotOnOrAfter"); err != nil {
		return begin, end, err
	}
	if !begin.IsZero() && x.now.Add(skew).Before(begin) {
		return begin, end, fmt.Errorf("%s does not hold before %s", el.Tag, begin.UTC().Format(time.RFC3339))
	}
	if !end.IsZero() && !x.now.Add(-skew).Before(end) {
		return begin, end, fmt.Errorf("%s held until %s", el.Tag, end.UTC().Format(time.RFC3339))
	}
	return begin, end, nil
}

// conditions are required, and each of them is checked; without them an assertion
// for another service would do here (CVE-2026-41577). One that is not known makes the
// assertion's validity indeterminate (SAML core 2.5.1), which is not valid.
func (x *expectation) conditions(el *etree.Element) error {
	c, err := xmlsec.Required(el, nsAssertion, "Conditions")
	if err != nil {
		return err
	}
	if _, _, err := x.within(c); err != nil {
		return err
	}
	restricted := false
	for _, child := range c.ChildElements() {
		switch {
		case xmlsec.Is(child, nsAssertion, "AudienceRestriction"):
			if err := x.audience(child); err != nil {
				return err
			}
			restricted = true
		case xmlsec.Is(child, nsAssertion, "OneTimeUse"), xmlsec.Is(child, nsAssertion, "ProxyRestriction"):
			// Every assertion is used once here, and none is passed on.
		default:
			return fmt.Errorf("it has a condition %q that is not known", xmlsec.Clip(child.Tag))
		}
	}
	if !restricted {
		return errors.New("it names no audience")
	}
	return nil
}

func (x *expectation) audience(restriction *etree.Element) error {
	var first string
	for i, a := range xmlsec.Children(restriction, nsAssertion, "Audience") {
		s, err := xmlsec.Text(a)
		if err != nil {
			return err
		}
		if s == x.entityID {
			return nil
		}
		if i == 0 {
			first = s
		}
	}
	return fmt.Errorf("its audience is %q, and not %q", xmlsec.Clip(first), x.entityID)
}

// session is what the AuthnStatements say.
type session struct {
	index   string
	context string
	authn   time.Time
	end     time.Time // zero = none
}

func (x *expectation) session(el *etree.Element) (*session, error) {
	list := xmlsec.Children(el, nsAssertion, "AuthnStatement")
	if len(list) == 0 {
		return nil, errors.New("it does not say that somebody signed in")
	}
	out := &session{}
	for i, st := range list {
		at, err := xmlsec.Instant(st, "AuthnInstant")
		switch {
		case err != nil:
			return nil, err
		case at.IsZero():
			return nil, errors.New("it does not say when somebody signed in")
		case at.After(x.now.Add(skew)):
			return nil, errors.New("the sign-in is yet to come: a clock is wrong")
		}
		end, err := xmlsec.Instant(st, "SessionNotOnOrAfter")
		if err != nil {
			return nil, err
		}
		if !end.IsZero() {
			if !x.now.Add(-skew).Before(end) {
				return nil, fmt.Errorf("the provider's session held until %s", end.UTC().Format(time.RFC3339))
			}
			if out.end.IsZero() || end.Before(out.end) {
				out.end = end
			}
		}
		if i == 0 {
			out.authn, out.index = at, xmlsec.Attr(st, "SessionIndex")
			if len(out.index) > 1024 {
				return nil, errors.New("its SessionIndex is too long")
			}
			out.context = contextOf(st)
		}
	}
	return out, nil
}

func contextOf(statement *etree.Element) string {
	if c, err := xmlsec.Optional(statement, nsAssertion, "AuthnContext"); err == nil && c != nil {
		if ref, err := xmlsec.Optional(c, nsAssertion, "AuthnContextClassRef"); err == nil && ref != nil {
			s, _ := xmlsec.Text(ref)
			return s
		}
	}
	return ""
}

// attributes are the claims, by name, and by friendly name where no attribute has it
// as its name: one value is a string, several are a list.
func attributes(el *etree.Element) (map[string]any, error) {
	values, friendly := make(map[string][]any), make(map[string][]any)
	for _, st := range xmlsec.Children(el, nsAssertion, "AttributeStatement") {
		if len(xmlsec.Children(st, nsAssertion, "EncryptedAttribute")) > 0 {
			return nil, errors.New("it has encrypted attributes; encrypt the whole assertion instead")
		}
		for _, a := range xmlsec.Children(st, nsAssertion, "Attribute") {
			name := xmlsec.Attr(a, "Name")
			if name == "" {
				return nil, errors.New("an attribute has no name")
			}
			list := valuesOf(a)
			values[name] = append(values[name], list...)
			if f := xmlsec.Attr(a, "FriendlyName"); f != "" && f != name {
				friendly[f] = append(friendly[f], list...)
			}
		}
	}
	claims := make(map[string]any, len(values)+len(friendly))
	for _, m := range []map[string][]any{friendly, values} {
		for name, list := range m {
			switch len(list) {
			case 0:
			case 1:
				claims[name] = list[0]
			default:
				claims[name] = slices.Clip(list)
			}
		}
	}
	return claims, nil
}

// valuesOf are an attribute's values; of one that is a NameID (eduPersonTargetedID)
// its text; of other structures nothing.
func valuesOf(a *etree.Element) (list []any) {
	for _, v := range xmlsec.Children(a, nsAssertion, "AttributeValue") {
		if inner := v.ChildElements(); len(inner) == 1 && xmlsec.Is(inner[0], nsAssertion, "NameID") {
			v = inner[0]
		}
		if s, err := xmlsec.Text(v); err == nil && s != "" {
			list = append(list, s)
		}
	}
	return list
}
