package mtls

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// Bounds of what a front end sends on.
const (
	longestField = 64 << 10
	mostInChain  = 8
)

// recheck is how long a forwarded certificate stays verified: its CA or its
// revocation may change, and there is no handshake that ends with it.
const recheck = time.Minute

// forwarded judges Client-Cert. It is mine only where a front end that proved
// itself sent it: anybody else's was set aside by strip and says nothing.
func (m *Method) forwarded(ctx context.Context, r *model.Request, now time.Time) (res authn.Result, mine bool) {
	value, found := authn.Header(r, "Client-Cert")
	if found == authn.Absent {
		return authn.Result{}, false
	}
	proven := false
	for _, s := range m.Senders {
		if proven = s.Proves(r, now); proven {
			break
		}
	}
	if !proven {
		return authn.Result{}, false
	}
	if found != authn.Present || len(value) > longestField {
		return authn.Refuse(model.CredentialInvalid, "Client-Cert: "+authn.PresenceDetail(authn.Differing)), true
	}
	chain, inChain := authn.Header(r, "Client-Cert-Chain")
	if inChain == authn.Differing || len(chain) > longestField {
		return authn.Refuse(model.CredentialInvalid, "Client-Cert-Chain: "+authn.PresenceDetail(authn.Differing)), true
	}
	key := m.Cache.Key(authn.SpaceForwarded, m.Cache.Key(authn.SpaceForwarded, 0, chain).Epoch(), value)
	if p := m.Cache.Get(key, now); p != nil && p.Principal.Fresh() {
		return p.Found(now), true
	}
	leaf, intermediates, err := readClientCert(value, chain)
	if err != nil {
		return authn.Refuse(model.CredentialInvalid, "Client-Cert: "+err.Error()), true
	}
	if err := m.Verify(leaf, intermediates); err != nil {
		return authn.Refuse(model.CredentialInvalid, "the certificate in Client-Cert did not verify: "+err.Error()), true
	}
	return m.lookUp(ctx, leaf, key, now, now.Add(recheck)), true
}

// readClientCert reads the fields of RFC 9440, 2: a byte sequence, and a list of
// them.
func readClientCert(value, chain string) (leaf *x509.Certificate, intermediates []*x509.Certificate, err error) {
	if leaf, err = readSequence(value); err != nil {
		return nil, nil, err
	}
	if chain == "" {
		return leaf, nil, nil
	}
	for _, item := range strings.Split(chain, ",") {
		c, err := readSequence(strings.Trim(item, " \t"))
		if err != nil {
			return nil, nil, err
		}
		if intermediates = append(intermediates, c); len(intermediates) > mostInChain {
			return nil, nil, errors.New("the chain is too long")
		}
	}
	return leaf, intermediates, nil
}

// readSequence reads ":base64:" (RFC 8941, 3.3.5) that holds one certificate.
func readSequence(s string) (*x509.Certificate, error) {
	if len(s) < 3 || s[0] != ':' || s[len(s)-1] != ':' || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("not a byte sequence of RFC 8941 (colon, base64, colon)")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(s[1 : len(s)-1])
	if err != nil {
		return nil, errors.New("not a byte sequence of RFC 8941 (colon, base64, colon)")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("not a certificate")
	}
	return c, nil
}
