package saml

import "time"

func logoutRequest() string {
	return `<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_logout" Version="2.0" IssueInstant="` + at(0) + `" NotOnOrAfter="` + at(5*time.Minute) + `" Destination="` + sloURL + `"><saml:Issuer>` + idpEntity + `</saml:Issuer>` +
		`<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">anna</saml:NameID><samlp:SessionIndex>7</samlp:SessionIndex></samlp:LogoutRequest>`
}
