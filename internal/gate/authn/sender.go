package authn

import (
	"crypto/subtle"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport/internal/model"
)

// Sender is a front end that a trustedHeader provider believes, once it has proved
// itself: by its client certificate, or by a shared secret from a listed address.
type Sender struct {
	Provider     string
	certificate  string
	from         model.Prefixes
	secretHeader string
	secret       string
	epoch        uint64
	cache        *Cache
}

// NewSender prepares the proof of a provider's front end.
func NewSender(p *model.IdentityProvider, cache *Cache) *Sender {
	from, _ := model.ParsePrefixes(p.From, "") // their faults were the provider's
	s := &Sender{Provider: p.Name, certificate: p.ClientCertificate, from: from, cache: cache,
		epoch: Epoch(p.Name, p.ClientCertificate)}
	if p.Secret != "" && p.Secret != model.Mask {
		s.secretHeader, s.secret = p.SecretHeader, p.Secret
	}
	return s
}

// Proves says whether this request came from the front end itself. It goes by the
// socket's peer, never by an address that a header names.
func (s *Sender) Proves(r *model.Request, now time.Time) bool {
	return s.bySecret(r) || s.byCertificate(r, now)
}

func (s *Sender) bySecret(r *model.Request) bool {
	if s.secretHeader == "" || len(s.from) == 0 || !s.from.Contains(r.Peer) {
		return false
	}
	value, found := Header(r, s.secretHeader)
	return found == Present && len(value) == len(s.secret) &&
		subtle.ConstantTimeCompare(bytesOf(value), bytesOf(s.secret)) == 1
}

func (s *Sender) byCertificate(r *model.Request, now time.Time) bool {
	if s.certificate == "" || r.TLS == nil || r.TLS.Certificate == nil || r.TLS.CertificateFault != "" {
		return false
	}
	if s.secretHeader == "" && len(s.from) > 0 && !s.from.Contains(r.Peer) {
		return false // from, without a secret, narrows the certificate
	}
	key := s.cache.KeyBytes(SpaceSender, s.epoch, r.TLS.Certificate.Raw)
	if s.cache.Get(key, now) != nil {
		return true
	}
	if !certificateIs(r.TLS.Certificate, s.certificate) {
		return false
	}
	s.cache.Put(key, &Proof{Provider: s.Provider}, r.TLS.Certificate.NotAfter)
	return true
}

// bytesOf views a string as bytes that are only read, without copying a secret.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
