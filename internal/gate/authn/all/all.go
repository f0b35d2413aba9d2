package all

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/apikey"
	"github.com/sallyport/sallyport/internal/gate/authn/basic"
	"github.com/sallyport/sallyport/internal/gate/authn/bearer"
	"github.com/sallyport/sallyport/internal/gate/authn/introspection"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/gate/authn/mtls"
	"github.com/sallyport/sallyport/internal/gate/authn/session"
	"github.com/sallyport/sallyport/internal/gate/authn/signature"
	"github.com/sallyport/sallyport/internal/gate/authn/trustedheader"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

// Deps are what the methods need. All but Providers live as long as the process,
// so that a new configuration keeps what was verified and fetched.
type Deps struct {
	Lookup authn.Lookup
	Hasher *secret.Hasher
	Cache  *authn.Cache
	Keys   *keys.Registry
	Asker  *introspection.Registry // nil = nobody can be asked about opaque tokens
	// Passwords asks directories; nil = passwords are kept here alone.
	Passwords authn.Passwords
	// Sessions are the logins by browsers, and Users whose they are; nil = there are none.
	Sessions   session.Sessions
	Users      session.Users
	Providers  []model.IdentityProvider // of the configuration; not changed afterwards
	Hosts      *authn.Hosts             // of the configuration: the names that it is called by
	Replay     *authn.Replay            // of proofs that are good once; nil = one of its own
	Signatures *authn.Replay            // of message signatures; nil = one of its own
	// AnyPublicKey says whether any user has a public key; nil = there may be one.
	AnyPublicKey func() bool
	// VerifyClientCert judges a certificate that a front end sent on, by the
	// listener's clientCA and clientCRL; nil = they are not believed.
	VerifyClientCert func(leaf *x509.Certificate, intermediates []*x509.Certificate) error
	// Upgrade stores a better hash after a login with an old one; nil = none is
	// stored. It is called from other goroutines.
	Upgrade func(userID, credentialID, newHash string)
	Now     func() time.Time // nil = time.Now
}

// For how long proofs that are good once must be remembered.
const (
	ProofLife     = 2 * bearer.ProofAge
	SignatureLife = signature.Age + signature.Skew
)

// New is the table for a configuration, and what is wrong between its providers.
// Their mappings are the plan's to compile.
func New(d Deps) ([]authn.Method, model.Faults) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Replay == nil {
		d.Replay = authn.NewReplay(ProofLife, 0)
	}
	if d.Signatures == nil {
		d.Signatures = authn.NewReplay(SignatureLife, 0)
	}
	if d.Asker == nil {
		d.Asker = introspection.NewRegistry(introspection.Options{})
	}
	return []authn.Method{
		&mtls.Method{Lookup: d.Lookup, Cache: d.Cache, Now: d.Now, Senders: senders(d), Verify: d.VerifyClientCert},
		trustedheader.New(d.Providers, d.Cache, d.Now),
		bearer.New(bearer.Deps{Providers: d.Providers, Keys: d.Keys, Asker: d.Asker, Cache: d.Cache, Hosts: d.Hosts, Replay: d.Replay, Now: d.Now}),
		&signature.Method{Lookup: d.Lookup, Cache: d.Cache, Hosts: d.Hosts, Replay: d.Signatures, Now: d.Now, Any: d.AnyPublicKey},
		&apikey.Method{Lookup: d.Lookup, Cache: d.Cache, Now: d.Now},
		&basic.Method{Lookup: d.Lookup, Cache: d.Cache, Now: d.Now, Hasher: d.Hasher, Upgrade: d.Upgrade,
			Elsewhere: basic.NewElsewhere(d.Passwords, d.Providers)},
		session.New(d.Sessions, d.Users, d.Cache, d.Providers, d.Now),
	}, bearer.Overlap(d.Providers)
}

// CheckFiles reads the key files that the providers name: for whoever is about to
// accept a change. A file that goes missing later keeps no configuration from
// being compiled; its provider's tokens are 503 until it is back.
func CheckFiles(r *keys.Registry, list []model.IdentityProvider) (f model.Faults) {
	for i := range list {
		if err := r.Check(&list[i]); err != nil {
			f.Add(fmt.Sprintf("identityProviders[%d].keyFile", i), err.Error())
		}
	}
	return f
}

func senders(d Deps) (list []*authn.Sender) {
	for i := range d.Providers {
		if p := &d.Providers[i]; p.Type == model.ProviderTrustedHeader && p.Enabled {
			list = append(list, authn.NewSender(p, d.Cache))
		}
	}
	return list
}
