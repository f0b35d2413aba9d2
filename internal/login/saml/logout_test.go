package saml

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

func logoutRequest() string {
	return `<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_logout" Version="2.0" IssueInstant="` + at(0) + `" NotOnOrAfter="` + at(5*time.Minute) + `" Destination="` + sloURL + `"><saml:Issuer>` + idpEntity + `</saml:Issuer>` +
		`<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">anna</saml:NameID><samlp:SessionIndex>7</samlp:SessionIndex></samlp:LogoutRequest>`
}

func logoutResponse(request string) string {
	return `<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_done" Version="2.0" IssueInstant="` + at(0) + `" Destination="` + sloURL + `" InResponseTo="` + request + `"><saml:Issuer>` + idpEntity + `</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:LogoutResponse>`
}

func (w *world) logout(back *flow.Return) (*flow.Ended, *flow.Departure, error) {
	return w.sp.Logout(context.Background(), w.attempt, back)
}

func TestTheProviderEndsTheSessionThatItBegan(t *testing.T) {
	w := newWorld(t)
	id, err := w.finish(idpSigner().signed(t, goodResponse(w.request()), "Assertion"))
	if err != nil {
		t.Fatal(err)
	}
	for name, back := range map[string]*flow.Return{
		"Redirect": idpSigner().redirect("SAMLRequest", logoutRequest(), "their state"),
		"POST":     post("SAMLRequest", idpSigner().signed(t, logoutRequest(), "LogoutRequest")),
	} {
		t.Run(name, func(t *testing.T) {
			w.attempt.Secret = ""
			ended, departure, err := w.logout(back)
			if err != nil {
				t.Fatal(err)
			}
			want := flow.Ended{Subject: "anna", SID: id.SID, ID: "_logout", Until: clock.Add(5*time.Minute + skew)}
			if *ended != want {
				t.Errorf("got %+v", ended)
			}
			u, _ := url.Parse(departure.URL)
			m, err := redirected(strings.TrimPrefix(u.RawQuery, "tenant=1&"))
			if err != nil {
				t.Fatal(err)
			}
			own, _ := w.sp.ownPair()
			root, err := m.proven([]*x509.Certificate{own.cert}, clock)
			if err != nil || !xmlsec.Is(root, nsProtocol, "LogoutResponse") || xmlsec.Attr(root, "InResponseTo") != "_logout" || xmlsec.Attr(root, "Destination") != "https://idp.example.com/slo?tenant=1" {
				t.Fatal(departure.URL, err)
			}
			if name == "Redirect" && m.relay != "their state" {
				t.Errorf("their RelayState came back as %q", m.relay)
			}
		})
	}
}

func TestALogoutWithoutOrWithSeveralSessionsEndsThemAll(t *testing.T) {
	w := newWorld(t)
	one := "<samlp:SessionIndex>7</samlp:SessionIndex>"
	for _, with := range []string{"", one + "<samlp:SessionIndex>8</samlp:SessionIndex>"} {
		ended, _, err := w.logout(idpSigner().redirect("SAMLRequest", strings.Replace(logoutRequest(), one, with, 1), ""))
		if err != nil || ended.Subject != "anna" || ended.SID != "" {
			t.Errorf("got %+v, %v", ended, err)
		}
	}
}

func TestOnePersonsSessionIsNotAnothers(t *testing.T) {
	w := newWorld(t)
	ended, _, err := w.logout(idpSigner().redirect("SAMLRequest", strings.Replace(logoutRequest(), ">anna<", ">bert<", 1), ""))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := w.finish(idpSigner().signed(t, goodResponse(w.request()), "Assertion"))
	if ended.SID == id.SID {
		t.Error("both have the number 7, and the same name")
	}
}

func TestLogoutsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	swap := func(old, with string) string { return strings.Replace(logoutRequest(), old, with, 1) }
	signed := idpSigner().signed(t, logoutRequest(), "LogoutRequest")
	query := func(f func(url.Values)) *flow.Return {
		q := idpSigner().redirect("SAMLRequest", logoutRequest(), "r").Query
		f(q)
		return get(q.Encode())
	}
	raw := idpSigner().redirect("SAMLRequest", logoutRequest(), "r").Request.URL.RawQuery
	for _, tc := range []struct {
		name  string
		back  *flow.Return
		code  model.Code
		cause string
	}{
		{"not signed, by POST", post("SAMLRequest", logoutRequest()), model.CredentialInvalid, "0 signatures"},
		{"not signed, by Redirect", query(func(q url.Values) { q.Del("Signature") }), model.CredentialInvalid, "not signed"},
		{"by a stranger, by POST", post("SAMLRequest", attacker().signed(t, logoutRequest(), "LogoutRequest")), model.CredentialInvalid, "no certificate"},
		{"by a stranger, by Redirect", attacker().redirect("SAMLRequest", logoutRequest(), ""), model.CredentialInvalid, "no certificate"},
		{"changed by POST", post("SAMLRequest", strings.Replace(signed, ">anna<", ">bert<", 1)), model.CredentialInvalid, "no certificate"},
		{"with another RelayState", get(strings.Replace(raw, "RelayState=r", "RelayState=s", 1)), model.CredentialInvalid, "no certificate"},
		{"without its RelayState", get(strings.Replace(raw, "RelayState=r&", "", 1)), model.CredentialInvalid, "no certificate"},
		{"with two messages", get(raw + "&SAMLRequest=x"), model.RequestMalformed, "twice"},
		{"with two signatures", get(raw + "&Signature=x"), model.RequestMalformed, "twice"},
		{"with a message under an odd name", get(strings.Replace(raw, "SAMLRequest=", "SAMLReques%74=", 1)), model.RequestMalformed, "odd"},
		{"by SHA-1", get(strings.Replace(raw, url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), url.QueryEscape("http://www.w3.org/2000/09/xmldsig#rsa-sha1"), 1)), model.CredentialInvalid, "not allowed"},
		{"by no method", query(func(q url.Values) { q.Del("SigAlg") }), model.CredentialInvalid, "not allowed"},
		{"for another", idpSigner().redirect("SAMLRequest", swap(sloURL, "https://other.example.com/slo"), ""), model.CredentialInvalid, "it is for"},
		{"for nobody", idpSigner().redirect("SAMLRequest", swap(` Destination="`+sloURL+`"`, ""), ""), model.CredentialInvalid, "it is for"},
		{"of another provider", idpSigner().redirect("SAMLRequest", swap(idpEntity, "https://evil"), ""), model.CredentialInvalid, "Issuer"},
		{"of nobody", idpSigner().redirect("SAMLRequest", swap("<saml:Issuer>"+idpEntity+"</saml:Issuer>", ""), ""), model.CredentialInvalid, "issuer"},
		{"of last hour", idpSigner().redirect("SAMLRequest", swap(`IssueInstant="`+at(0), `IssueInstant="`+at(-time.Hour)), ""), model.CredentialInvalid, "too long ago"},
		{"that held until a minute ago", idpSigner().redirect("SAMLRequest", swap(`NotOnOrAfter="`+at(5*time.Minute), `NotOnOrAfter="`+at(-time.Minute)), ""), model.CredentialInvalid, "held until"},
		{"with a signature within as well", idpSigner().redirect("SAMLRequest", signed, ""), model.CredentialInvalid, "within"},
		{"with a comment in it", idpSigner().redirect("SAMLRequest", swap(">anna<", ">an<!---->na<"), ""), model.RequestMalformed, "comment"},
		{"that is a login", idpSigner().redirect("SAMLResponse", goodResponse("x"), ""), model.RequestMalformed, "no logout"},
		{"a request sent as a response", idpSigner().redirect("SAMLResponse", logoutRequest(), ""), model.RequestMalformed, "no logout"},
		{"not packed", get("SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(logoutRequest())))), model.RequestMalformed, "DEFLATE"},
		{"nothing", get(""), model.RequestMalformed, "no message"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ended, departure, err := w.logout(tc.back)
			if ended != nil || departure != nil {
				t.Errorf("got %+v, %+v", ended, departure)
			}
			mustRefuse(t, nil, err, tc.code, tc.cause)
		})
	}
}

// CVE-2023-28119: a few kilobytes that unpack to gigabytes.
func TestABombIsNotUnpacked(t *testing.T) {
	w := newWorld(t)
	back := idpSigner().redirect("SAMLRequest", strings.Repeat("a", 16<<20), "")
	begin := time.Now()
	_, _, err := w.logout(back)
	mustRefuse(t, nil, err, model.RequestMalformed, "unpacks to more")
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
	bytes := testing.AllocsPerRun(1, func() { w.logout(back) })
	if bytes > 5000 {
		t.Errorf("%v allocations", bytes)
	}
}

func TestOurLogoutAndItsAnswer(t *testing.T) {
	w := newWorld(t)
	id, err := w.finish(idpSigner().signed(t, goodResponse(w.request()), "Assertion"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.sp.End(context.Background(), w.attempt, id.Keep, nil)
	if err != nil || d == nil {
		t.Fatal(d, err)
	}
	u, _ := url.Parse(d.URL)
	m, err := redirected(strings.TrimPrefix(u.RawQuery, "tenant=1&"))
	if err != nil {
		t.Fatal(err)
	}
	own, _ := w.sp.ownPair()
	root, err := m.proven([]*x509.Certificate{own.cert}, clock)
	if err != nil {
		t.Fatal(err)
	}
	s := written(t, root)
	for _, part := range []string{`SPNameQualifier="` + spEntity + `"`, ">anna<", ">7<", `ID="` + requestID(w.attempt, "logout") + `"`, spEntity, "NotOnOrAfter", "nameid-format:persistent"} {
		if !strings.Contains(s, part) {
			t.Errorf("%s has no %s", s, part)
		}
	}
	good := logoutResponse(requestID(w.attempt, "logout"))
	for name, tc := range map[string]struct {
		back  *flow.Return
		code  model.Code
		cause string
	}{
		"by Redirect":               {idpSigner().redirect("SAMLResponse", good, theState), "", ""},
		"by POST":                   {post("SAMLResponse", idpSigner().signed(t, good, "LogoutResponse")), "", ""},
		"not signed":                {post("SAMLResponse", good), model.CredentialInvalid, "0 signatures"},
		"to another logout":         {idpSigner().redirect("SAMLResponse", logoutResponse("_x"), ""), model.CredentialInvalid, "no logout of ours"},
		"to the login":              {idpSigner().redirect("SAMLResponse", logoutResponse(w.request()), ""), model.CredentialInvalid, "no logout of ours"},
		"which is no":               {idpSigner().redirect("SAMLResponse", strings.Replace(good, "status:Success", "status:Responder", 1), ""), model.PermissionDenied, "Responder"},
		"a request beside the form": {&flow.Return{Request: &http.Request{Method: "POST", URL: &url.URL{}}}, model.RequestMalformed, "no message"},
	} {
		t.Run(name, func(t *testing.T) {
			ended, departure, err := w.logout(tc.back)
			if ended != nil || departure != nil || (err == nil) != (tc.code == "") {
				t.Errorf("got %v, %v, %v", ended, departure, err)
			}
			if tc.code != "" {
				mustRefuse(t, nil, err, tc.code, tc.cause)
			}
		})
	}
	w.attempt.Secret = ""
	_, _, err = w.logout(idpSigner().redirect("SAMLResponse", good, theState))
	mustRefuse(t, nil, err, model.CredentialInvalid, "no logout of ours")
}

func TestWhereThereIsNothingToEndNobodyIsSentAnywhere(t *testing.T) {
	w := newWorld(t)
	for _, keep := range []string{"", "{}", "junk"} {
		if d, err := w.sp.End(context.Background(), w.attempt, []byte(keep), nil); d != nil || err != nil {
			t.Errorf("%q: %v, %v", keep, d, err)
		}
	}
	w.serve(strings.Replace(idpMetadata(idpSigner()), "<md:SingleLogoutService", "<md:Other", 1), nil)
	if d, err := w.sp.End(context.Background(), w.attempt, []byte(`{"nameID":{"value":"anna"}}`), nil); d != nil || err != nil {
		t.Errorf("%v, %v", d, err)
	}
}

func TestNamesWithQualifiersAreOthers(t *testing.T) {
	seen := map[string]nameID{}
	for _, n := range []nameID{
		{Value: "anna"}, {Value: "anna", NameQualifier: "x"}, {Value: "anna", SPNameQualifier: "x"}, {Value: "!x!!anna"}, {Value: "!!x!anna"},
		{Value: "!anna", NameQualifier: "x"}, {Value: "anna", NameQualifier: "x!"}, {Value: "!anna", SPNameQualifier: "x"},
	} {
		s, err := n.subject(idpEntity, spEntity)
		if err != nil {
			t.Fatal(err)
		}
		if old, ok := seen[s]; ok {
			t.Errorf("%+v and %+v are both %q", old, n, s)
		}
		seen[s] = n
	}
	n := nameID{Value: "anna", NameQualifier: idpEntity, SPNameQualifier: spEntity}
	if s, _ := n.subject(idpEntity, spEntity); s != "anna" {
		t.Errorf("what goes without saying made another of her: %q", s)
	}
}
