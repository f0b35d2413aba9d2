package saml

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/beevik/etree"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

// skew is how far clocks may be apart.
const skew = 30 * time.Second

// expectation is what a response must be, to be believed.
type expectation struct {
	names
	issuer  string // the provider, as its metadata names it
	request string // id of our request; "" = the provider began
	certs   []*x509.Certificate
	key     func() (*rsa.PrivateKey, error) // for what was encrypted to us
	now     time.Time
}

// Finish proves the response that the browser posted. Responses come by POST alone
// (SAML profiles 4.1.2).
func (s *ServiceProvider) Finish(ctx context.Context, a *flow.Attempt, back *flow.Return) (*flow.Identity, error) {
	if err := usable(a.Provider, a.Base); err != nil {
		return nil, err
	}
	if a.Secret == "" && !a.Provider.AllowIDPInitiated {
		return nil, model.NewError(model.PermissionDenied, "Sign-in begins here, and not at the identity provider. Open the page that you want to see.")
	}
	if back == nil || back.Request == nil || back.Request.Method != http.MethodPost {
		return nil, malformed(errors.New("a response comes by POST"))
	}
	m, err := received(back)
	if err != nil {
		return nil, malformed(err)
	}
	if m.param != "SAMLResponse" || !xmlsec.Is(m.root, nsProtocol, "Response") {
		return nil, malformed(fmt.Errorf("a %s is no response", xmlsec.Clip(m.root.Tag)))
	}
	var id *flow.Identity
	err = s.withCertificates(ctx, a.Provider, func(idp *identityProvider, now time.Time) (time.Time, error) {
		x := expectation{names: namesOf(a.Provider, a.Base), issuer: idp.entityID, certs: idp.live(now), now: now,
			key: func() (*rsa.PrivateKey, error) {
				own, err := s.ownPair()
				if err != nil {
					return nil, err
				}
				return own.key, nil
			}}
		if a.Secret != "" {
			x.request = requestID(a, "login")
		}
		var err error
		if id, err = x.response(m.root); err != nil {
			return time.Time{}, err
		}
		return id.Issued, nil
	})
	if err != nil {
		return nil, err
	}
	return id, nil
}

// withCertificates proves something by the provider's metadata, and once more where
// the provider has changed its certificates since that was read.
func (s *ServiceProvider) withCertificates(ctx context.Context, p *model.IdentityProvider,
	prove func(idp *identityProvider, now time.Time) (time.Time, error)) error {
	src, idp, err := s.current(ctx, p)
	if err != nil {
		return err
	}
	issued, err := prove(idp, s.o.Now())
	if errors.Is(err, xmlsec.ErrKey) {
		_ = s.renew(ctx, src, s.o.CoolDown)
		if newer, bad := src.usableIDP(s.o.Now()); bad == nil && newer != idp {
			issued, err = prove(newer, s.o.Now())
		}
	}
	if err == nil {
		src.met(issued.Sub(s.o.Now()))
		return nil
	}
	var known *model.Error
	if errors.As(err, &known) {
		return known
	}
	return refused(err)
}

// response proves a response and answers whom it is about. Fields of the response
// itself may be unsigned; they are held to be right all the same, but whom it is
// about is read from signed bytes alone.
func (x *expectation) response(root *etree.Element) (*flow.Identity, error) {
	body, signed, err := x.envelope(root)
	if err != nil {
		return nil, err
	}
	if err := x.outer(body, signed); err != nil {
		return nil, fmt.Errorf("the response: %w", err)
	}
	assertion, err := x.assertion(body, signed)
	if err != nil {
		return nil, err
	}
	id, err := x.identity(assertion)
	if err != nil {
		return nil, fmt.Errorf("the assertion: %w", err)
	}
	return id, nil
}

// envelope verifies the response's own signature, if it has one, and counts what
// may be there once: any second assertion or stray signature, wherever it stands and
// whatever it is called, is somebody's attempt to have one verified and another used.
func (x *expectation) envelope(root *etree.Element) (body *etree.Element, signed bool, err error) {
	if n := assertions(root); n > 1 {
		return nil, false, fmt.Errorf("the response has %d assertions", n)
	}
	own := len(xmlsec.Children(root, xmlsec.NSDSig, "Signature"))
	inner := 0
	for _, a := range xmlsec.Children(root, nsAssertion, "Assertion") {
		inner += len(xmlsec.Children(a, xmlsec.NSDSig, "Signature"))
	}
	if own > 1 || inner > 1 || own+inner != signatures(root) {
		return nil, false, errors.New("the response has signatures where none belong")
	}
	if own == 0 {
		return root, false, nil
	}
	body, err = xmlsec.Verify(root, x.certs, x.now)
	if err != nil {
		return nil, false, fmt.Errorf("the response: %w", err)
	}
	return body, true, nil
}

// outer checks the fields around the assertion.
func (x *expectation) outer(el *etree.Element, signed bool) error {
	if !xmlsec.Is(el, nsProtocol, "Response") || xmlsec.Attr(el, "Version") != "2.0" || xmlsec.Attr(el, "ID") == "" {
		return errors.New("it is no response of SAML 2.0")
	}
	if _, err := fresh(el, x.now); err != nil {
		return err
	}
	issuer, err := xmlsec.Optional(el, nsAssertion, "Issuer")
	if err != nil {
		return err
	}
	if issuer != nil {
		if err := xmlsec.SameText(issuer, x.issuer); err != nil {
			return err
		}
	}
	// SAML bindings 3.5.5.2: a signed message says where it was sent.
	if d := xmlsec.Attr(el, "Destination"); d != x.acs && (signed || d != "") {
		return fmt.Errorf("its Destination is %q, and not %q", xmlsec.Clip(d), x.acs)
	}
	if r := xmlsec.Attr(el, "InResponseTo"); r != x.request {
		return x.wrongRequest(r)
	}
	status, err := xmlsec.Required(el, nsProtocol, "Status")
	if err != nil {
		return err
	}
	return success(status)
}

func (x *expectation) wrongRequest(got string) error {
	if x.request == "" {
		return errors.New("it names a request, and none was made")
	}
	return fmt.Errorf("it answers the request %q, and not this login's", xmlsec.Clip(got))
}

// assertion is the one assertion, verified.
func (x *expectation) assertion(body *etree.Element, signed bool) (*etree.Element, error) {
	plain, err := xmlsec.Optional(body, nsAssertion, "Assertion")
	if err != nil {
		return nil, err
	}
	sealed, err := xmlsec.Optional(body, nsAssertion, "EncryptedAssertion")
	if err != nil {
		return nil, err
	}
	if (plain == nil) == (sealed == nil) {
		return nil, errors.New("the response does not have one assertion")
	}
	if sealed != nil {
		key, err := x.key()
		if err != nil {
			return nil, err
		}
		if plain, err = xmlsec.Decrypt(sealed, key); err != nil {
			return nil, err
		}
		if !xmlsec.Is(plain, nsAssertion, "Assertion") || assertions(plain) != 1 {
			return nil, errors.New("what was encrypted is not one assertion")
		}
	}
	own := len(xmlsec.Children(plain, xmlsec.NSDSig, "Signature"))
	switch {
	case own > 1 || own != signatures(plain):
		return nil, errors.New("the assertion has signatures where none belong")
	case own == 1:
		verified, err := xmlsec.Verify(plain, x.certs, x.now)
		if err != nil {
			return nil, fmt.Errorf("the assertion: %w", err)
		}
		return verified, nil
	case !signed:
		return nil, errors.New("neither the response nor the assertion is signed")
	}
	return plain, nil
}

const statusPrefix = "urn:oasis:names:tc:SAML:2.0:status:"

// success reads a status (SAML core 3.2.2). A provider that declined says so with a
// code below Responder; one that could not follow our request is out of order.
func success(status *etree.Element) error {
	code, err := xmlsec.Required(status, nsProtocol, "StatusCode")
	if err != nil {
		return err
	}
	top := xmlsec.Attr(code, "Value")
	if top == statusPrefix+"Success" {
		return nil
	}
	second := ""
	if inner, err := xmlsec.Optional(code, nsProtocol, "StatusCode"); err == nil && inner != nil {
		second = xmlsec.Attr(inner, "Value")
	}
	said := ""
	if m, err := xmlsec.Optional(status, nsProtocol, "StatusMessage"); err == nil && m != nil {
		said, _ = xmlsec.Text(m)
	}
	cause := fmt.Errorf("the provider answered %q, %q: %q", xmlsec.Clip(top), xmlsec.Clip(second), xmlsec.Clip(said))
	switch second {
	case statusPrefix + "AuthnFailed", statusPrefix + "RequestDenied", statusPrefix + "UnknownPrincipal",
		statusPrefix + "NoAuthnContext", statusPrefix + "NoPassive", statusPrefix + "InvalidNameIDPolicy":
		return model.NewError(model.PermissionDenied, "The identity provider declined the sign-in.").WithCause(cause)
	}
	return unavailable(cause)
}
