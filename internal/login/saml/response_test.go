package saml

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

func mustRefuse(t *testing.T, id *flow.Identity, err error, code model.Code, cause string) {
	t.Helper()
	var e *model.Error
	if id != nil || !errors.As(err, &e) {
		t.Fatalf("got %+v, %v", id, err)
	}
	if e.Code != code || !strings.Contains(err.Error(), cause) {
		t.Errorf("got %v, want %s because of %q", err, code, cause)
	}
	if cause != "" && strings.Contains(e.Message, cause) && code == model.CredentialInvalid {
		t.Errorf("the cause is told to the client: %q", e.Message)
	}
}

func TestAnHonestResponseIsBelieved(t *testing.T) {
	for _, tc := range []struct {
		name string
		tags []string
	}{
		{"the assertion is signed", []string{"Assertion"}},
		{"the response is signed", []string{"Response"}},
		{"both are", []string{"Assertion", "Response"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			id, err := w.finish(idpSigner().signed(t, goodResponse(w.request()), tc.tags...))
			if err != nil {
				t.Fatal(err)
			}
			want := &flow.Identity{
				Subject: "anna", SID: id.SID, Issued: clock, Expires: clock.Add(8 * time.Hour), Keep: id.Keep,
				Once: "_assertion", OnceUntil: clock.Add(5*time.Minute + 30*time.Second),
				Claims: map[string]any{
					"urn:oid:0.9.2342.19200300.100.1.3": "anna@example.com", "mail": "anna@example.com",
					"groups": []any{"staff", "admins"}, "nameID": "anna", "sub": "anna",
					"nameIDFormat": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
					"authnInstant": "2026-05-04T11:00:00Z", "authnContext": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
				},
			}
			if d := cmp.Diff(want, id); d != "" {
				t.Error(d)
			}
			var k kept
			if err := json.Unmarshal(id.Keep, &k); err != nil || k.SessionIndex != "7" || k.NameID.Value != "anna" || id.SID == "" || id.SID == "7" {
				t.Errorf("keep %s, SID %q", id.Keep, id.SID)
			}
		})
	}
}

func TestWhatAnAssertionMustSay(t *testing.T) {
	type edit = func(string) string
	swap := func(old, with string) edit {
		return func(s string) string {
			if !strings.Contains(s, old) {
				panic("the test's response has no " + old)
			}
			return strings.ReplaceAll(s, old, with)
		}
	}
	cut := func(from, to string) edit {
		return func(s string) string {
			i := strings.Index(s, from)
			j := strings.Index(s[i:], to)
			return s[:i] + s[i+j+len(to):]
		}
	}
	for _, tc := range []struct {
		name  string
		edit  edit
		cause string
	}{
		{"no Conditions (CVE-2026-41577)", cut("<saml:Conditions", "</saml:Conditions>"), "no Conditions"},
		{"no audience (CVE-2026-41577)", cut("<saml:AudienceRestriction>", "</saml:AudienceRestriction>"), "no audience"},
		{"an audience restriction without audiences", cut("<saml:Audience>", "</saml:Audience>"), "audience"},
		{"the audience of another service", swap("<saml:Audience>"+spEntity, "<saml:Audience>https://other.example.com"), "audience"},
		{"our audience and in a second restriction another", swap("</saml:AudienceRestriction>", "</saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>x</saml:Audience></saml:AudienceRestriction>"), "audience"},
		{"our name as the beginning of another's", swap(spEntity+"</saml:Audience>", spEntity+".evil.example</saml:Audience>"), "audience"},
		{"a condition that nobody knows", swap("</saml:Conditions>", `<saml:Condition xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="x:y"/></saml:Conditions>`), "not known"},
		{"conditions that have expired (CVE-2026-41577)", swap(`NotOnOrAfter="`+at(5*time.Minute)+`"><saml:Aud`, `NotOnOrAfter="`+at(-31*time.Second)+`"><saml:Aud`), "held until"},
		{"conditions that are yet to hold", swap(`NotBefore="`+at(-time.Minute), `NotBefore="`+at(31*time.Second)), "does not hold before"},
		{"conditions with a time that is none", swap(`NotBefore="`+at(-time.Minute), `NotBefore="yesterday`), "no time"},
		{"a time without a zone", swap(`NotBefore="`+at(-time.Minute), `NotBefore="2026-05-04T11:59:00`), "no time"},
		{"a confirmation that has expired", swap(`NotOnOrAfter="`+at(5*time.Minute)+`" Recip`, `NotOnOrAfter="`+at(-30*time.Second)+`" Recip`), "held until"},
		{"a confirmation without an end", swap(`NotOnOrAfter="`+at(5*time.Minute)+`" Recip`, `Recip`), "no NotOnOrAfter"},
		{"a confirmation that is yet to hold", swap(`" Recip`, `" NotBefore="`+at(time.Minute)+`" Recip`), "does not hold before"},
		{"the recipient is another service", swap(`Recipient="`+acsURL, `Recipient="https://other.example.com/acs`), "Recipient"},
		{"the recipient is another provider's address here", swap(`Recipient="`+acsURL, `Recipient="`+gateway+"/.sallyport/saml/other/acs"), "Recipient"},
		{"no recipient", swap(`Recipient="`+acsURL+`"`, ""), "Recipient"},
		{"no confirmation", cut("<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>"), "no bearer confirmation"},
		{"a confirmation by a key that we do not ask for", swap("cm:bearer", "cm:holder-of-key"), "no bearer confirmation"},
		{"no subject", cut("<saml:Subject>", "</saml:Subject>"), "no Subject"},
		{"no name", cut("<saml:NameID", "</saml:NameID>"), "no NameID"},
		{"an empty name", swap(">anna</saml:NameID>", "></saml:NameID>"), "empty"},
		{"two names", swap("</saml:NameID>", "</saml:NameID><saml:NameID>admin</saml:NameID>"), "2 elements NameID"},
		{"a name with a space behind it", swap(">anna<", ">anna <"), "space"},
		{"a name with elements in it", swap(">anna<", ">anna<saml:x/><"), "more than text"},
		{"another issuer of the assertion", swap("<saml:Issuer>"+idpEntity, "<saml:Issuer>https://evil.example.com"), "Issuer"},
		{"no AuthnStatement", cut("<saml:AuthnStatement", "</saml:AuthnStatement>"), "signed in"},
		{"a sign-in in the future", swap(`AuthnInstant="`+at(-time.Hour), `AuthnInstant="`+at(time.Hour)), "yet to come"},
		{"a session that has ended", swap(`SessionNotOnOrAfter="`+at(8*time.Hour), `SessionNotOnOrAfter="`+at(-time.Hour)), "session held until"},
		{"another version", swap(`ID="_assertion" Version="2.0"`, `ID="_assertion" Version="1.1"`), "version"},
		{"the answer to another login", swap(`InResponseTo="_`, `InResponseTo="_0`), "request"},
		{"a confirmation for another login", swap(`" InResponseTo="_`, `" InResponseTo="_0`), "request"},
		{"a response that answers nothing", func(s string) string {
			return strings.ReplaceAll(s, ` InResponseTo="`+strings.Split(strings.Split(s, ` InResponseTo="`)[1], `"`)[0]+`"`, "")
		}, "request"},
		{"a confirmation that answers nothing", func(s string) string {
			i := strings.LastIndex(s, ` InResponseTo="`)
			return s[:i] + "/>" + s[i+strings.Index(s[i:], "/>")+2:]
		}, "request"},
		{"another destination", swap(`Destination="`+acsURL, `Destination="https://other.example.com/acs`), "Destination"},
		{"an assertion of last hour", swap(`ID="_assertion" Version="2.0" IssueInstant="`+at(0), `ID="_assertion" Version="2.0" IssueInstant="`+at(-time.Hour)), "too long ago"},
		{"an assertion of the next hour", swap(`ID="_assertion" Version="2.0" IssueInstant="`+at(0), `ID="_assertion" Version="2.0" IssueInstant="`+at(time.Hour)), "yet to come"},
		{"a response of last hour", swap(`ID="_response" Version="2.0" IssueInstant="`+at(0), `ID="_response" Version="2.0" IssueInstant="`+at(-time.Hour)), "too long ago"},
		{"another issuer of the response", func(s string) string {
			return strings.Replace(s, "<saml:Issuer>"+idpEntity, "<saml:Issuer>https://evil", 1)
		}, "Issuer"},
		{"an encrypted name", swap("<saml:NameID", "<saml:EncryptedID/><saml:NameID"), "encrypt the whole"},
		{"encrypted attributes", swap("<saml:AttributeStatement>", "<saml:AttributeStatement><saml:EncryptedAttribute/>"), "encrypt the whole"},
		{"no status", cut("<samlp:Status>", "</samlp:Status>"), "no Status"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			for _, tags := range [][]string{{"Assertion"}, {"Response"}} {
				id, err := w.finish(idpSigner().signed(t, tc.edit(goodResponse(w.request())), tags...))
				mustRefuse(t, id, err, model.CredentialInvalid, tc.cause)
			}
		})
	}
}

func TestATransientNameIsNobodyInParticular(t *testing.T) {
	w := newWorld(t)
	id, err := w.finish(idpSigner().signed(t, strings.Replace(goodResponse(w.request()), "nameid-format:persistent", "nameid-format:transient", 1), "Assertion"))
	mustRefuse(t, id, err, model.CredentialInvalid, "configure the provider to send persistent")
}

func TestClocksMayBeHalfAMinuteApart(t *testing.T) {
	for _, d := range []time.Duration{-29 * time.Second, 5*time.Minute + 29*time.Second} {
		w := newWorld(t)
		xml := idpSigner().signed(t, strings.Replace(goodResponse(w.request()), `NotBefore="`+at(-time.Minute), `NotBefore="`+at(0), 1), "Assertion")
		w.pass(d)
		id, err := w.finish(xml)
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		if !id.OnceUntil.After(w.time()) {
			t.Errorf("it could be played again at %s, and is remembered until %s", w.time(), id.OnceUntil)
		}
		w.pass(time.Minute + 2*d.Abs())
		if d > 0 {
			id, err = w.finish(xml)
			mustRefuse(t, id, err, model.CredentialInvalid, "")
		}
	}
}

func TestAResponseIsRememberedAsLongAsItCouldBePlayedAgain(t *testing.T) {
	w := newWorld(t)
	xml := strings.ReplaceAll(goodResponse(w.request()), `NotOnOrAfter="`+at(5*time.Minute), `NotOnOrAfter="`+at(9999*time.Hour))
	xml = idpSigner().signed(t, xml, "Assertion", "Response")
	id, err := w.finish(xml)
	if err != nil || id.OnceUntil.After(clock.Add(11*time.Minute)) {
		t.Fatalf("%v, %v: the memory would grow without bounds", id, err)
	}
	w.pass(id.OnceUntil.Sub(clock) - time.Second)
	if _, err := w.finish(xml); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	w.pass(time.Second)
	id, err = w.finish(xml)
	mustRefuse(t, id, err, model.CredentialInvalid, "too long ago")
}

func TestSignaturesThatProveNothing(t *testing.T) {
	w := newWorld(t)
	good := goodResponse(w.request())
	sha1 := strings.NewReplacer("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#rsa-sha1")
	digest1 := strings.NewReplacer("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1")
	signed := idpSigner().signed(t, good, "Assertion")
	double := strings.Replace(signed, "<ds:Signature ", "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/><ds:Signature ", 1)
	i, j := strings.Index(signed, "<ds:Signature"), strings.Index(signed, "</ds:Signature>")+len("</ds:Signature>")
	for _, tc := range []struct{ name, xml, cause string }{
		{"none", good, "neither the response nor the assertion is signed"},
		{"by a key that came with the message (CVE-2026-9090)", attacker().signed(t, good, "Assertion"), "no certificate of the metadata"},
		{"the response's by a stranger, the assertion's good", attacker().signed(t, signed, "Response"), "no certificate of the metadata"},
		{"the response's good, the assertion's by a stranger", idpSigner().signed(t, attacker().signed(t, good, "Assertion"), "Response"), "no certificate of the metadata"},
		{"by SHA-1", sha1.Replace(signed), "is not allowed"},
		{"over a digest by SHA-1", digest1.Replace(signed), "is not allowed"},
		{"by a shared secret", strings.ReplaceAll(signed, "xmldsig-more#rsa-sha256", "xmldsig-more#hmac-sha256"), "is not allowed"},
		{"twice", double, "signatures where none belong"},
		{"in another place", signed[:i] + signed[j:strings.Index(signed, "<saml:Subject>")] + "<saml:Advice>" + signed[i:j] + "</saml:Advice>" + signed[strings.Index(signed, "<saml:Subject>"):], "where none belong"},
		{"over the whole document", strings.Replace(signed, `URI="#_assertion"`, `URI=""`, 1), "refers to"},
		{"over another element", strings.Replace(signed, `URI="#_assertion"`, `URI="#_response"`, 1), "refers to"},
		{"with a second reference (goxmldsig CVE-2026-33487)", strings.Replace(signed, "</ds:SignedInfo>", `<ds:Reference URI="#_response"/></ds:SignedInfo>`, 1), "does not belong there"},
		{"with an object", strings.Replace(signed, "</ds:Signature>", "<ds:Object/></ds:Signature>", 1), "does not belong there"},
		{"with two SignedInfos (CVE-2020-15216)", strings.Replace(signed, "<ds:SignatureValue>", "<ds:SignedInfo/><ds:SignatureValue>", 1), "SignatureValue in its place"},
		{"by a transform of another kind", strings.Replace(signed, "http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116", 1), "transforms"},
		{"by inclusive canonicalization", strings.ReplaceAll(signed, "http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/2006/12/xml-c14n11"), "canonicalization"},
		{"with nothing in it (goxmldsig CVE-2020-7711)", signed[:i] + `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>` + signed[j:], "SignedInfo in its place"},
		{"with a reference without parts (goxmldsig CVE-2020-7711)", signed[:strings.Index(signed, "<ds:Transforms>")] + signed[strings.Index(signed, "</ds:Transforms>")+len("</ds:Transforms>"):], "Transforms in its place"},
		{"of another name", strings.Replace(signed, ">anna<", ">admin<", 1), "no certificate of the metadata"},
		{"emptied", signed[:strings.Index(signed, "<ds:SignatureValue>")] + "<ds:SignatureValue/>" + signed[strings.Index(signed, "</ds:SignatureValue>")+len("</ds:SignatureValue>"):], "no certificate"},
		{"of an assertion without an ID", strings.Replace(signed, ` ID="_assertion"`, "", 1), "no ID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := w.finish(tc.xml)
			mustRefuse(t, id, err, model.CredentialInvalid, tc.cause)
		})
	}
	if _, err := w.finish(signed); err != nil {
		t.Errorf("and untouched: %v", err)
	}
}

func TestWhatIsNoXMLForUs(t *testing.T) {
	w := newWorld(t)
	signed := idpSigner().signed(t, goodResponse(w.request()), "Assertion")
	for _, tc := range []struct{ name, xml, cause string }{
		{"a comment that cuts a name in two (CVE-2026-57580, CVE-2025-25291, CVE-2025-25292)", strings.Replace(signed, ">anna<", ">anna<!---->.evil<", 1), "comment"},
		{"a comment elsewhere", "<!-- -->" + signed, "comment"},
		{"an instruction", strings.Replace(signed, "<saml:Subject>", "<?x y?><saml:Subject>", 1), "instruction"},
		{"CDATA", strings.Replace(signed, ">anna<", "><![CDATA[anna]]><", 1), "CDATA"},
		{"a document type", `<!DOCTYPE x [<!ENTITY e "eeee">]>` + signed, "declaration"},
		{"entities that multiply", `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>` + strings.Replace(signed, ">anna<", ">&b;<", 1), "declaration"},
		{"an entity that nobody declared", strings.Replace(signed, ">anna<", ">&b;<", 1), "XML"},
		{"another encoding", `<?xml version="1.0" encoding="UTF-7"?>` + signed, "UTF-8"},
		{"bytes that are no UTF-8", strings.Replace(signed, ">anna<", ">an\xffna<", 1), "UTF-8"},
		{"two roots", signed + signed, "several roots"},
		{"text behind the root", signed + "x", "text beside"},
		{"an attribute twice", strings.Replace(signed, `Version="2.0"`, `Version="2.0" Version="2.0"`, 1), "twice"},
		{"an id twice", strings.Replace(signed, "<samlp:Status>", `<samlp:Status ID="_assertion">`, 1), "twice"},
		{"an id twice under another name", strings.Replace(signed, "<samlp:Status>", `<samlp:Status id="_assertion">`, 1), "twice"},
		{"an id in a namespace", strings.Replace(signed, `ID="_assertion"`, `saml:ID="_x" ID="_assertion"`, 1), "namespace"},
		{"a prefix that nobody declared", strings.Replace(signed, "<samlp:Status>", "<samlp:Status><evil:x/>", 1), "not declared"},
		{"a name that changes when it is written again (CVE-2020-29509)", strings.Replace(signed, "<samlp:Status>", `<samlp:Status xmlns:x:y="z">`, 1), "XML"},
		{"elements without end", strings.Repeat("<a>", 300) + strings.Repeat("</a>", 300), "XML"},
		{"an answer of 257 KiB", signed + strings.Repeat(" ", 257<<10), "larger"},
		{"an answer of 10 MiB", strings.Repeat("x", 10<<20), "larger"},
		{"nothing", "", "no root"},
		{"HTML", "<html><body>error</body></html>", "no response"},
		{"an assertion alone", goodAssertion(w.request()), "no response"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := w.finish(tc.xml)
			mustRefuse(t, id, err, model.RequestMalformed, tc.cause)
		})
	}
}

func TestWhatIsNoPostedResponse(t *testing.T) {
	w := newWorld(t)
	good := post("SAMLResponse", idpSigner().signed(t, goodResponse(w.request()), "Assertion"))
	edit := func(f func(*flow.Return)) *flow.Return {
		r := &flow.Return{Request: good.Request, Form: url.Values{}}
		for k, v := range good.Form {
			r.Form[k] = v
		}
		f(r)
		return r
	}
	for _, tc := range []struct {
		name string
		back *flow.Return
	}{
		{"none", nil},
		{"without a request", &flow.Return{}},
		{"without a form", edit(func(r *flow.Return) { r.Form = nil })},
		{"twice", edit(func(r *flow.Return) { r.Form["SAMLResponse"] = append(r.Form["SAMLResponse"], "x") })},
		{"with a request", edit(func(r *flow.Return) { r.Form.Set("SAMLRequest", "x") })},
		{"with two RelayStates", edit(func(r *flow.Return) { r.Form["RelayState"] = []string{"a", "b"} })},
		{"as a request", edit(func(r *flow.Return) { r.Form["SAMLRequest"] = r.Form["SAMLResponse"]; delete(r.Form, "SAMLResponse") })},
		{"not in base64", edit(func(r *flow.Return) { r.Form.Set("SAMLResponse", r.Form.Get("SAMLResponse")+"!") })},
		{"by GET", edit(func(r *flow.Return) { r.Request = &http.Request{Method: "GET", URL: &url.URL{}} })},
		{"by Redirect, well signed", idpSigner().redirect("SAMLResponse", goodResponse(w.request()), theState)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := w.sp.Finish(context.Background(), w.attempt, tc.back)
			mustRefuse(t, id, err, model.RequestMalformed, "")
		})
	}
	wrapped := good.Form.Get("SAMLResponse")
	wrapped = wrapped[:76] + "\r\n" + wrapped[76:]
	if _, err := w.sp.Finish(context.Background(), w.attempt, edit(func(r *flow.Return) { r.Form.Set("SAMLResponse", wrapped) })); err != nil {
		t.Errorf("in base64 of several lines: %v", err)
	}
}

func TestStatuses(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		top, second string
		code        model.Code
	}{
		{"Responder", "AuthnFailed", model.PermissionDenied},
		{"Responder", "RequestDenied", model.PermissionDenied},
		{"Requester", "InvalidNameIDPolicy", model.PermissionDenied},
		{"Responder", "", model.IdentityUnavailable},
		{"Requester", "UnsupportedBinding", model.IdentityUnavailable},
		{"success", "", model.IdentityUnavailable},
	} {
		second := ""
		if tc.second != "" {
			second = `<samlp:StatusCode Value="` + statusPrefix + tc.second + `"/>`
		}
		xml := strings.Replace(goodResponse(w.request()), `<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>`,
			`<samlp:StatusCode Value="`+statusPrefix+tc.top+`">`+second+`</samlp:StatusCode><samlp:StatusMessage>no way</samlp:StatusMessage>`, 1)
		id, err := w.finish(idpSigner().signed(t, xml, "Assertion"))
		mustRefuse(t, id, err, tc.code, "no way")
	}
}

func TestTheProviderMayBeginOnlyWhereThatIsAllowed(t *testing.T) {
	w := newWorld(t)
	unasked := idpSigner().signed(t, strings.ReplaceAll(goodResponse("?"), ` InResponseTo="?"`, ""), "Assertion")
	asked := idpSigner().signed(t, goodResponse(w.request()), "Assertion")
	w.attempt.Secret = ""
	id, err := w.finish(unasked)
	mustRefuse(t, id, err, model.PermissionDenied, "begins here")
	w.provider.AllowIDPInitiated = true
	if id, err = w.finish(unasked); err != nil || id.Subject != "anna" || id.Once == "" {
		t.Errorf("got %v, %v", id, err)
	}
	id, err = w.finish(asked)
	mustRefuse(t, id, err, model.CredentialInvalid, "none was made")
	w.attempt.Secret = strings.Repeat("s", 43)
	id, err = w.finish(unasked)
	mustRefuse(t, id, err, model.CredentialInvalid, "request")
}

// Keycloak CVE-2026-2603: a disabled provider went on accepting logins that it began.
func TestADisabledProviderIsRefusedInAllItsFlows(t *testing.T) {
	w := newWorld(t)
	w.provider.Enabled, w.provider.AllowIDPInitiated = false, true
	xml := idpSigner().signed(t, strings.ReplaceAll(goodResponse("?"), ` InResponseTo="?"`, ""), "Assertion")
	for _, secret := range []string{"", strings.Repeat("s", 43)} {
		w.attempt.Secret = secret
		id, err := w.finish(xml)
		mustRefuse(t, id, err, model.PermissionDenied, "switched off")
	}
	_, err := w.sp.Begin(context.Background(), w.attempt)
	mustRefuse(t, nil, err, model.PermissionDenied, "switched off")
	_, _, err = w.sp.Logout(context.Background(), w.attempt, idpSigner().redirect("SAMLRequest", logoutRequest(), ""))
	mustRefuse(t, nil, err, model.PermissionDenied, "switched off")
	_, err = w.sp.End(context.Background(), w.attempt, []byte(`{}`), nil)
	mustRefuse(t, nil, err, model.PermissionDenied, "switched off")
	_, err = w.sp.Metadata(w.provider, w.attempt.Base)
	mustRefuse(t, nil, err, model.PermissionDenied, "switched off")
	if w.asked() != 0 {
		t.Error("its metadata was fetched")
	}
}

func TestAnECDSASignatureIsVerified(t *testing.T) {
	w := newWorld(t, idpSigner(), curveIDP())
	for _, s := range []*signer{idpSigner(), curveIDP()} {
		if _, err := w.finish(s.signed(t, goodResponse(w.request()), "Assertion", "Response")); err != nil {
			t.Error(err)
		}
	}
	id, err := w.finish(strings.Replace(curveIDP().signed(t, goodResponse(w.request()), "Assertion"), ">anna<", ">admin<", 1))
	mustRefuse(t, id, err, model.CredentialInvalid, "no certificate of the metadata")
}

func TestALongListOfGroupsIsTaken(t *testing.T) {
	w := newWorld(t)
	var values strings.Builder
	for i := range 2500 {
		values.WriteString("<saml:AttributeValue>group-" + strconv.Itoa(i) + "</saml:AttributeValue>")
	}
	xml := strings.Replace(goodResponse(w.request()), "<saml:AttributeValue>staff</saml:AttributeValue>", values.String(), 1)
	for _, tags := range [][]string{{"Assertion"}, {"Response"}, {"Assertion", "Response"}} {
		id, err := w.finish(idpSigner().signed(t, xml, tags...))
		if err != nil {
			t.Fatal(tags, err)
		}
		if n := len(id.Claims["groups"].([]any)); n != 2501 {
			t.Errorf("%d groups", n)
		}
	}
}

func TestNoAttributeTakesThePlaceOfTheName(t *testing.T) {
	w := newWorld(t)
	xml := strings.Replace(goodResponse(w.request()), `Name="groups"`, `Name="nameID" FriendlyName="authnInstant"`, 1)
	xml = strings.Replace(xml, `FriendlyName="mail"`, `FriendlyName="sub"`, 1)
	id, err := w.finish(idpSigner().signed(t, xml, "Assertion"))
	if err != nil || id.Claims["nameID"] != "anna" || id.Claims["sub"] != "anna" || id.Claims["authnInstant"] != "2026-05-04T11:00:00Z" || !strings.HasSuffix(id.Claims["nameIDFormat"].(string), "persistent") {
		t.Errorf("got %v, %v", id, err)
	}
}
