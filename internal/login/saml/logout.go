package saml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/beevik/etree"
	schema "github.com/crewjam/saml"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

// End sends the browser to the provider with a signed logout request. The provider
// sends it back to the address in our metadata, and not to back.
func (s *ServiceProvider) End(ctx context.Context, a *flow.Attempt, keep []byte, _ *url.URL) (*flow.Departure, error) {
	if err := usable(a.Provider, a.Base); err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(keep, &k); err != nil || k.NameID.Value == "" {
		return nil, nil // a session of another kind, or of old: nothing there to end
	}
	own, idp, err := s.ready(ctx, a)
	if err != nil {
		return nil, err
	}
	to := idp.logout.first()
	if to == "" {
		return nil, nil
	}
	now := s.o.Now().UTC()
	end := now.Add(5 * time.Minute)
	request := &schema.LogoutRequest{
		ID: requestID(a, "logout"), Version: "2.0", IssueInstant: now, NotOnOrAfter: &end, Destination: to,
		Issuer: &schema.Issuer{Value: namesOf(a.Provider, a.Base).entityID},
		NameID: &schema.NameID{Value: k.NameID.Value, Format: k.NameID.Format,
			NameQualifier: k.NameID.NameQualifier, SPNameQualifier: k.NameID.SPNameQualifier},
	}
	if k.SessionIndex != "" {
		request.SessionIndex = &schema.SessionIndex{Value: k.SessionIndex}
	}
	return depart(own, request.Element(), "SAMLRequest", idp.logout, a.State)
}

// Logout proves a provider's logout request, or its answer to ours: by POST or
// Redirect, and always signed.
func (s *ServiceProvider) Logout(ctx context.Context, a *flow.Attempt, back *flow.Return) (*flow.Ended, *flow.Departure, error) {
	if err := usable(a.Provider, a.Base); err != nil {
		return nil, nil, err
	}
	m, err := received(back)
	if err != nil {
		return nil, nil, malformed(err)
	}
	request := m.param == "SAMLRequest" && xmlsec.Is(m.root, nsProtocol, "LogoutRequest")
	if !request && !(m.param == "SAMLResponse" && xmlsec.Is(m.root, nsProtocol, "LogoutResponse")) {
		return nil, nil, malformed(fmt.Errorf("%s is no logout", xmlsec.Clip(m.root.Tag)))
	}
	n := namesOf(a.Provider, a.Base)
	var ended *flow.Ended
	var answers endpoints
	err = s.withCertificates(ctx, a.Provider, func(idp *identityProvider, now time.Time) (time.Time, error) {
		el, err := m.proven(idp.live(now), now)
		if err != nil {
			return time.Time{}, err
		}
		id, issued, err := addressed(el, idp.entityID, n.slo, now)
		if err != nil {
			return issued, err
		}
		answers = idp.answers
		if !request {
			return issued, answered(el, a)
		}
		ended, err = asked(el, id, issued, now, idp.entityID, n.entityID)
		return issued, err
	})
	if err != nil || !request {
		return nil, nil, err
	}
	departure, err := s.answer(n, ended.ID, answers, m.relay)
	if err != nil {
		return nil, nil, err
	}
	return ended, departure, nil
}

// asked reads a verified logout request: whose sessions end.
func asked(el *etree.Element, id string, issued, now time.Time, issuer, entityID string) (*flow.Ended, error) {
	until := issued.Add(maxAge)
	end, err := xmlsec.Instant(el, "NotOnOrAfter")
	if err != nil {
		return nil, err
	}
	if !end.IsZero() {
		if !now.Add(-skew).Before(end) {
			return nil, fmt.Errorf("the logout request held until %s", end.UTC().Format(time.RFC3339))
		}
		if end.Before(until) {
			until = end
		}
	}
	name, err := readNameID(el)
	if err != nil {
		return nil, err
	}
	subject, err := name.subject(issuer, entityID)
	if err != nil {
		return nil, err
	}
	out := &flow.Ended{Subject: subject, ID: id, Until: until.Add(skew)}
	// Of several sessions of one person all are ended: there are no more than that
	// person's, and none may be left over.
	if list := xmlsec.Children(el, nsProtocol, "SessionIndex"); len(list) == 1 {
		index, err := xmlsec.Text(list[0])
		if err != nil {
			return nil, err
		}
		out.SID = name.session(subject, index)
	}
	return out, nil
}

// answered reads a verified answer to our own logout.
func answered(el *etree.Element, a *flow.Attempt) error {
	if a.Secret == "" || xmlsec.Attr(el, "InResponseTo") != requestID(a, "logout") {
		return errors.New("the logout response answers no logout of ours")
	}
	status, err := xmlsec.Required(el, nsProtocol, "Status")
	if err != nil {
		return err
	}
	if err := success(status); err != nil {
		return model.NewError(model.PermissionDenied,
			"You are signed out here, but the identity provider did not say that you are signed out there too. Close the browser.").WithCause(err)
	}
	return nil
}

// answer is what we say to a provider's logout request once it has been followed.
func (s *ServiceProvider) answer(n names, request string, to endpoints, relay string) (*flow.Departure, error) {
	if to.first() == "" || len(relay) > 1024 {
		return nil, nil
	}
	own, err := s.ownPair()
	if err != nil {
		return nil, err
	}
	response := &schema.LogoutResponse{
		ID: randomID(), Version: "2.0", InResponseTo: request, IssueInstant: s.o.Now().UTC(), Destination: to.first(),
		Issuer: &schema.Issuer{Value: n.entityID},
		Status: schema.Status{StatusCode: schema.StatusCode{Value: schema.StatusSuccess}},
	}
	return depart(own, response.Element(), "SAMLResponse", to, relay)
}
