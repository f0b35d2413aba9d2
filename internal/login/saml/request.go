package saml

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/beevik/etree"
	schema "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// maxRelay is what SAML lets a RelayState have (bindings 3.4.3 and 3.5.3). Some
// providers cut off what is beyond it, and some refuse it.
const maxRelay = 80

var errLongState = errors.New("the state is longer than the 80 bytes of a RelayState")

// Begin sends the browser to the provider with a signed request.
func (s *ServiceProvider) Begin(ctx context.Context, a *flow.Attempt) (*flow.Departure, error) {
	if err := usable(a.Provider, a.Base); err != nil {
		return nil, err
	}
	if a.Secret == "" {
		return nil, model.AsError(errors.New("an attempt without a secret"))
	}
	own, idp, err := s.ready(ctx, a)
	if err != nil {
		return nil, err
	}
	n, create, unspecified := namesOf(a.Provider, a.Base), true, string(schema.UnspecifiedNameIDFormat)
	to := idp.signOn.first()
	request := &schema.AuthnRequest{
		ID: requestID(a, "login"), Version: "2.0", IssueInstant: s.o.Now().UTC(), Destination: to,
		Issuer:                      &schema.Issuer{Value: n.entityID},
		AssertionConsumerServiceURL: n.acs,
		ProtocolBinding:             schema.HTTPPostBinding,
		NameIDPolicy:                &schema.NameIDPolicy{Format: &unspecified, AllowCreate: &create},
	}
	return depart(own, request.Element(), "SAMLRequest", idp.signOn, a.State)
}

// ready is what a request to a provider is made of: our keys, what is known of the
// provider, and a state that fits into a RelayState.
func (s *ServiceProvider) ready(ctx context.Context, a *flow.Attempt) (*keyPair, *identityProvider, error) {
	if len(a.State) > maxRelay {
		return nil, nil, model.AsError(errLongState)
	}
	own, err := s.ownPair()
	if err != nil {
		return nil, nil, err
	}
	_, idp, err := s.current(ctx, a.Provider)
	return own, idp, err
}

func (s *ServiceProvider) ownPair() (*keyPair, error) {
	own, err := s.own.load(s.o.Dir, s.o.Now())
	if err != nil {
		return nil, model.NewError(model.Internal, "The gateway met an unexpected fault.").WithCause(err)
	}
	return own, nil
}

// requestID is the id of an attempt's request: the same one whenever it is asked
// for, so that nothing need be remembered, and one that nobody else can tell.
func requestID(a *flow.Attempt, what string) string {
	h := hmac.New(sha256.New, []byte(a.Secret))
	fmt.Fprintf(h, "saml %s %s", what, a.Provider.Name)
	return "_" + hex.EncodeToString(h.Sum(nil))
}

func randomID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return "_" + hex.EncodeToString(b[:])
}

// depart signs a message and sends it by Redirect where the provider takes that,
// else by POST.
func depart(own *keyPair, message *etree.Element, param string, to endpoints, state string) (*flow.Departure, error) {
	if to.redirect != "" {
		u, err := redirectURL(own, message, param, to.redirect, state)
		if err != nil {
			return nil, model.AsError(err)
		}
		return &flow.Departure{URL: u}, nil
	}
	if err := sign(own, message); err != nil {
		return nil, model.AsError(err)
	}
	b, err := serialize(message)
	if err != nil {
		return nil, model.AsError(err)
	}
	form := url.Values{param: {base64.StdEncoding.EncodeToString(b)}}
	if state != "" {
		form.Set("RelayState", state)
	}
	return &flow.Departure{URL: to.post, Form: form}, nil
}

func serialize(el *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(el)
	return doc.WriteToBytes()
}

// sign puts an enveloped signature behind the Issuer, where the schema wants it.
func sign(own *keyPair, message *etree.Element) error {
	ctx, err := dsig.NewSigningContext(own.key, [][]byte{own.cert.Raw})
	if err != nil {
		return err
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	sig, err := ctx.ConstructSignature(message.Copy(), true)
	if err != nil {
		return fmt.Errorf("signing a message: %w", err)
	}
	message.InsertChildAt(1, sig)
	return nil
}

// redirectURL is the message as the Redirect binding has it (SAML bindings 3.4.4.1):
// the signature is over the query as it is written, in this order.
func redirectURL(own *keyPair, message *etree.Element, param, location, state string) (string, error) {
	b, err := serialize(message)
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return "", err
	}
	_, err = w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	query := param + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if state != "" {
		query += "&RelayState=" + url.QueryEscape(state)
	}
	query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	digest := sha256.Sum256([]byte(query))
	sig, err := rsa.SignPKCS1v15(nil, own.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("signing a message: %w", err)
	}
	query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
	u, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	if u.RawQuery != "" {
		query = u.RawQuery + "&" + query
	}
	u.RawQuery = query
	return u.String(), nil
}

// maxAge is how old a message may be: browsers carry it at once.
const maxAge = 10 * time.Minute
