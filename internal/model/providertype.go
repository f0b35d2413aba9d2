package model

import (
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// providerKinds say which fields each type of provider has beside those of all,
// and what is asked of them.
var providerKinds = map[ProviderType]struct {
	fields   []string
	validate func(*IdentityProvider, string, *Faults)
}{
	ProviderOIDC: {[]string{"issuer", "clientID", "clientSecret", "clientKeyFile", "requestScopes", "userInfo"},
		(*IdentityProvider).validateOIDC},
	ProviderJWT: {[]string{"issuer", "audiences", "jwksURL", "keyFile", "algorithms", "allowMissing", "scopes"},
		(*IdentityProvider).validateJWT},
	ProviderIntrospection: {[]string{"issuer", "endpoint", "clientID", "clientSecret", "audiences", "scopes"},
		(*IdentityProvider).validateIntrospection},
	ProviderSAML: {[]string{"metadataURL", "metadataFile", "entityID", "allowIDPInitiated"},
		(*IdentityProvider).validateSAML},
	ProviderLDAP: {[]string{"url", "startTLS", "ca", "bindDN", "bindPassword", "userBase", "userFilter", "groupBase", "groupFilter", "nestedGroups"},
		(*IdentityProvider).validateLDAP},
	ProviderTrustedHeader: {[]string{"header", "from", "clientCertificate", "secretHeader", "secret"},
		(*IdentityProvider).validateTrustedHeader},
}

// common are the fields that every provider has.
var common = []string{"name", "type", "enabled", "mapping", "provision", "matchBy", "trustEmail", "roles"}

// foreign refuses fields that the provider's type does not have: what is not read
// would be believed to hold.
func (p *IdentityProvider) foreign(path string, own []string, f *Faults) {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if !v.Field(i).IsZero() && !slices.Contains(own, name) && !slices.Contains(common, name) && !empty(v.Field(i)) {
			f.Add(join(path, name), "is no field of a provider of type "+string(p.Type)+"; take it away or change the type")
		}
	}
}

func empty(v reflect.Value) bool { return v.Kind() == reflect.Slice && v.Len() == 0 }

// BrowserLogin says whether people sign in at the provider by a browser.
func (p *IdentityProvider) BrowserLogin() bool {
	return p.Type == ProviderOIDC || p.Type == ProviderSAML
}

func (p *IdentityProvider) validateOIDC(path string, f *Faults) {
	if !secureURLText(p.Issuer) {
		f.Add(path+".issuer", "is an https URL (http on loopback): the one that the provider's discovery document names as its issuer")
	}
	if p.ClientID == "" {
		f.Add(path+".clientID", "is missing; the provider gave it when the gateway was registered there")
	}
	if (p.ClientSecret == "") == (p.ClientKeyFile == "") {
		f.Add(path+".clientSecret", "or clientKeyFile is given, and not both: how the gateway proves itself to the provider")
	}
	for i, s := range p.RequestScopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			f.Add(index(path+".requestScopes", i), "is not a scope (RFC 6749, 3.3)")
		}
	}
}

func (p *IdentityProvider) validateIntrospection(path string, f *Faults) {
	if !secureURLText(p.Endpoint) {
		f.Add(path+".endpoint", "is an https URL (http on loopback): the provider's introspection endpoint (RFC 7662)")
	}
	if p.ClientID == "" || p.ClientSecret == "" {
		f.Add(path+".clientID", "and clientSecret are needed: an endpoint that answers everybody would tell everybody")
	}
	if len(p.Audiences) == 0 {
		f.Add(path+".audiences", "is empty; name who the tokens are meant for")
	}
	p.validateScopes(path, f)
}

func (p *IdentityProvider) validateScopes(path string, f *Faults) {
	if p.Scopes != "" && p.Scopes != "narrow" {
		f.Add(path+".scopes", `is "narrow" or left out`)
	}
}

func (p *IdentityProvider) validateSAML(path string, f *Faults) {
	if (p.MetadataURL == "") == (p.MetadataFile == "") {
		f.Add(path+".metadataURL", "or metadataFile is given, and not both: where the provider's entity descriptor is")
	}
	if p.MetadataURL != "" && !secureURLText(p.MetadataURL) {
		f.Add(path+".metadataURL", "is an https URL (http on loopback)")
	}
	if strings.ContainsFunc(p.EntityID, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(p.EntityID) > 1024 {
		f.Add(path+".entityID", "is a URI of at most 1024 characters")
	}
}

func (p *IdentityProvider) validateLDAP(path string, f *Faults) {
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.Scheme != "ldaps" && u.Scheme != "ldap":
		f.Add(path+".url", "is ldaps://HOST[:PORT], or ldap://HOST[:PORT] with startTLS: true")
	case u.Scheme == "ldaps" && p.StartTLS:
		f.Add(path+".startTLS", "is for ldap:// URLs; ldaps:// is TLS from its first byte")
	case u.Scheme == "ldap" && !p.StartTLS && !loopback(u.Hostname()):
		f.Add(path+".startTLS", "is needed with ldap://: passwords do not travel in the clear, but on loopback")
	}
	if p.UserBase == "" {
		f.Add(path+".userBase", "is missing; name where users are searched, such as ou=people,dc=example,dc=com")
	}
	if p.UserFilter != "" && !strings.Contains(p.UserFilter, "{username}") {
		f.Add(path+".userFilter", "has no {username}, so that everybody would be the same user")
	}
	if p.GroupFilter != "" && !strings.Contains(p.GroupFilter, "{dn}") && !strings.Contains(p.GroupFilter, "{username}") {
		f.Add(path+".groupFilter", "has neither {dn} nor {username}, so that everybody would be in the same groups")
	}
	if (p.BindDN == "") != (p.BindPassword == "") {
		f.Add(path+".bindPassword", "and bindDN go together: a bind without a password proves nothing (RFC 4513, 5.1.2)")
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (p *IdentityProvider) validateJWT(path string, f *Faults) {
	if p.Issuer == "" {
		f.Add(path+".issuer", "is missing; it is compared with the token's iss")
	}
	missing := map[string]bool{}
	for i, c := range p.AllowMissing {
		if c != "exp" && c != "aud" {
			f.Add(index(path+".allowMissing", i), "is one of exp, aud")
		}
		missing[c] = true
	}
	if len(p.Audiences) == 0 && !missing["aud"] {
		f.Add(path+".audiences", "is empty; name who the tokens are meant for, or say allowMissing: [aud]")
	}
	if p.JWKSURL != "" && p.KeyFile != "" {
		f.Add(path+".keyFile", "contradicts jwksURL; give one of them")
	}
	if p.JWKSURL != "" && !secureURLText(p.JWKSURL) {
		f.Add(path+".jwksURL", "is an https URL (http on loopback)")
	}
	if p.JWKSURL == "" && p.KeyFile == "" && !secureURLText(p.Issuer) {
		f.Add(path+".issuer", "is an https URL (http on loopback) where neither jwksURL nor keyFile is given, for the keys come from its discovery document")
	}
	for i, a := range p.Algorithms {
		if !contains(jwtAlgorithms, a) {
			f.Add(index(path+".algorithms", i), "is one of "+strings.Join(jwtAlgorithms, ", "))
		}
	}
	p.validateScopes(path, f)
}

func (p *IdentityProvider) validateTrustedHeader(path string, f *Faults) {
	if msg := OwnHeaderFault(p.Header); msg != "" {
		f.Add(path+".header", msg)
	}
	if _, faults := ParsePrefixes(p.From, path+".from"); faults != nil {
		*f = append(*f, faults...)
	}
	if p.ClientCertificate == "" && (len(p.From) == 0 || p.Secret == "" || p.SecretHeader == "") {
		f.Add(path, "needs clientCertificate, or from with secretHeader and secret: a header is believed only from a front end that proves itself")
	}
	if p.SecretHeader != "" {
		if msg := OwnHeaderFault(p.SecretHeader); msg != "" {
			f.Add(path+".secretHeader", msg)
		}
	}
	if p.Secret != "" && p.Secret != Mask && len(p.Secret) < 16 {
		f.Add(path+".secret", "is shorter than 16 characters")
	}
	if p.Header != "" && Fold(p.Header) == Fold(p.SecretHeader) {
		f.Add(path+".secretHeader", "is the same header as header")
	}
}
