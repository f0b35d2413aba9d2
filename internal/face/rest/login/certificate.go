package login

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// byCertificate maps the client's certificate to an administrator. One that is
// nobody's counts as absent: a browser may offer it to every site.
func (l *Logins) byCertificate(a *Attempt) (Caller, error) {
	cert := l.Certificate(a.Request)
	if cert == nil {
		return Caller{}, errMissing
	}
	admin, cred, err := l.owner(a.Request.Context(), cert)
	switch {
	case err != nil:
		return Caller{}, err
	case cred == nil:
		return Caller{}, errMissing
	}
	return l.admit(a, admin, cred)
}

// owner finds whose certificate it is. One whose names lead to two
// administrators is refused: which of them is meant cannot be told.
func (l *Logins) owner(ctx context.Context, cert *x509.Certificate) (owner *model.Administrator, found *model.Credential, err error) {
	names := certificateNames(cert)
	for _, n := range names {
		admin, err := l.find(ctx, n.field+":"+n.value)
		if err != nil {
			return nil, nil, err
		}
		cred := certificateOf(admin, names)
		if cred == nil {
			continue
		}
		if owner != nil && owner.Name != admin.Name {
			return nil, nil, errWrong
		}
		owner, found = admin, cred
	}
	return owner, found, nil
}

// certificateName is one of a certificate's names, by the credential's field that
// would hold it.
type certificateName struct{ field, value string }

func certificateNames(cert *x509.Certificate) []certificateName {
	sum := sha256.Sum256(cert.Raw)
	names := []certificateName{{"fingerprint", hex.EncodeToString(sum[:])}}
	for _, u := range cert.URIs {
		names = append(names, certificateName{"uri", u.String()})
	}
	for _, d := range cert.DNSNames {
		names = append(names, certificateName{"dns", strings.ToLower(d)})
	}
	for _, e := range cert.EmailAddresses {
		names = append(names, certificateName{"email", e})
	}
	if s := cert.Subject.String(); s != "" {
		names = append(names, certificateName{"subject", s})
	}
	return names
}

// certificateOf is the administrator's credential that names the certificate,
// whatever way the administrator was found.
func certificateOf(admin *model.Administrator, names []certificateName) *model.Credential {
	if admin == nil {
		return nil
	}
	for i := range admin.Credentials {
		cred := &admin.Credentials[i]
		if cred.Type != model.Certificate {
			continue
		}
		own := certificateName{}
		switch {
		case cred.Fingerprint != "":
			own = certificateName{"fingerprint", model.NormalFingerprint(cred.Fingerprint)}
		case cred.URI != "":
			own = certificateName{"uri", cred.URI}
		case cred.DNS != "":
			own = certificateName{"dns", strings.ToLower(cred.DNS)}
		case cred.Email != "":
			own = certificateName{"email", cred.Email}
		case cred.Subject != "":
			own = certificateName{"subject", cred.Subject}
		}
		if own.value != "" && slices.Contains(names, own) {
			return cred
		}
	}
	return nil
}
