package signature

import (
	"context"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	// Age is how long after its creation a signature is good, if it does not say less.
	Age = 5 * time.Minute
	// Skew is how far the signer's clock may run ahead.
	Skew = 30 * time.Second
)

// Method is signature.
type Method struct {
	Lookup authn.Lookup
	Cache  *authn.Cache
	Hosts  *authn.Hosts  // under which requests may have been signed
	Replay *authn.Replay // of signatures; remembers for Age and Skew
	Now    func() time.Time
	// Any says whether any user has a public key. Where none has, signatures mean
	// nothing here: they are neither judged nor asked for. Nil = there may be one.
	Any func() bool
}

// Name is the method's name.
func (m *Method) Name() string { return model.MethodSignature }

// Challenge asks for a signature. RFC 9421 has no scheme for WWW-Authenticate; this
// one says what is missing, and no more.
func (m *Method) Challenge(*model.Error) string {
	if m.Any != nil && !m.Any() {
		return ""
	}
	return `Signature realm="sallyport"`
}

func refuse(detail string) authn.Result { return authn.Refuse(model.CredentialInvalid, detail) }

// Authenticate verifies the request's signature.
func (m *Method) Authenticate(ctx context.Context, r *model.Request) authn.Result {
	if !sent(r) || m.Any != nil && !m.Any() {
		return authn.Result{}
	}
	now := authn.At(r, m.Now)
	value, err := field(r, "signature-input")
	if err != nil {
		return refuse("Signature-Input: " + err.Error())
	}
	inputs, err := readInputs(strings.Clone(value))
	if err != nil {
		return refuse("Signature-Input: " + err.Error())
	}
	if value, err = field(r, "signature"); err != nil {
		return refuse("there is Signature-Input, and no Signature")
	}
	signatures, err := readSignatures(value)
	if err != nil {
		return refuse("Signature: " + err.Error())
	}
	in, p, res := m.choose(ctx, inputs, now)
	if in == nil {
		return res
	}
	sig, there := signatures[in.label]
	if !there {
		return refuse("there is no signature of the label " + quote(in.label))
	}
	return m.judge(r, in, sig, p, now)
}

// sent says whether the request has a signature; without its input, Signature is
// another's field of that name.
func sent(r *model.Request) bool {
	for i := range r.Fields {
		if model.EqualFold(r.Fields[i].Name, "Signature-Input") {
			return true
		}
	}
	return false
}

// choose finds the one signature that is by a key of somebody here. Others may be
// of those whom the request passed on its way; two of ours are two credentials.
func (m *Method) choose(ctx context.Context, inputs []input, now time.Time) (*input, *authn.Proof, authn.Result) {
	var chosen *input
	var proof *authn.Proof
	for i := range inputs {
		id, _ := inputs[i].get("keyid")
		if id.text == "" {
			continue
		}
		p, err := m.proof(ctx, id.text, now)
		switch {
		case err != nil:
			return nil, nil, authn.Unavailable("the key of the signature cannot be looked up", err)
		case p == nil:
		case chosen != nil:
			return nil, nil, refuse(authn.PresenceDetail(authn.Differing))
		default:
			chosen, proof = &inputs[i], p
		}
	}
	if chosen == nil {
		return nil, nil, refuse("no signature has a keyid that is the thumbprint of a user's public key")
	}
	return chosen, proof, authn.Result{}
}

// proof is that of a user's key; nil where nobody has it. It is the same for every
// signature by the key, so that what the gate derives from it is derived once.
func (m *Method) proof(ctx context.Context, keyID string, now time.Time) (*authn.Proof, error) {
	if len(keyID) != 43 { // the length of a thumbprint
		return nil, nil
	}
	key := m.Cache.Key(authn.SpaceSignature, 0, keyID)
	if p := m.Cache.Get(key, now); p != nil && p.Principal.Fresh() {
		return p, nil
	}
	found, err := m.Lookup.Find(ctx, directory.Key{By: directory.ByPublicKey, A: keyID})
	if err != nil {
		return nil, err
	}
	if found.Principal == nil || found.Credential == nil || found.Credential.Type != model.PublicKey || found.Credential.KeyID != keyID {
		return nil, nil
	}
	p := authn.Local(model.MethodSignature, found, false)
	m.Cache.Put(key, p, time.Time{})
	return p, nil
}

// judge decides whether a signature is good: by its age, by what it covers, by the
// key, and that it was not seen before.
func (m *Method) judge(r *model.Request, in *input, sig []byte, p *authn.Proof, now time.Time) authn.Result {
	said, fault := in.parametersFault(now)
	if fault == "" {
		fault = covers(r, in)
	}
	if fault == "" && !m.Hosts.Ours(r.Host) {
		fault = "the request's host " + quote(r.Host) + " is neither that of externalURL nor one that a route names: it may have been signed for somebody else"
	}
	if fault != "" {
		return refuse("the signature: " + fault)
	}
	text, err := base(r, in)
	if err != nil {
		return refuse("the signature: " + err.Error())
	}
	pub, err := model.ParsePublicKey(p.Credential.PublicKey)
	if err != nil {
		return authn.Unavailable("the stored key "+p.Credential.KeyID+" cannot be read", err)
	}
	alg, ok := algorithm(pub, said)
	switch {
	case !ok:
		return refuse("the signature: its alg is not one for its key")
	case !verify(pub, alg, text, sig):
		return refuse("the signature is not by the key that it names, or not of this request")
	}
	// By what was signed and not by the signature: of one text ECDSA and PSS have
	// many, and from one of ECDSA's anybody makes another.
	first, room := true, true
	if r.Trial { // else asking about a request would use its signature up
		first = !m.Replay.Seen(now, "signature", p.Credential.KeyID, text)
	} else {
		first, room = m.Replay.First(now, "signature", p.Credential.KeyID, text)
	}
	switch {
	case !room:
		return authn.Unavailable("more signatures came than can be told from repeated ones", nil)
	case !first:
		return refuse("the signature was used before; where a request is repeated within a second, a nonce tells the two apart")
	}
	return p.Found(now)
}

// parametersFault judges a signature's parameters; said is its alg.
func (in *input) parametersFault(now time.Time) (said, fault string) {
	for _, p := range in.parameters {
		switch p.name {
		case "created", "expires":
			if !p.integer {
				return "", p.name + " is no number"
			}
		case "nonce", "alg", "keyid", "tag":
			if p.integer {
				return "", p.name + " is no text"
			}
		default: // what it would demand cannot be met unread
			return "", "it has the parameter " + quote(p.name) + ", which is not known here"
		}
	}
	created, there := in.get("created")
	at := time.Unix(created.number, 0)
	expires, ends := in.get("expires")
	alg, named := in.get("alg")
	switch {
	case !there:
		return "", "it does not say when it was created"
	case at.After(now.Add(Skew)):
		return "", "it was created in the future"
	case at.Add(Age).Before(now):
		return "", "it is older than five minutes (created)"
	case ends && !time.Unix(expires.number, 0).After(now):
		return "", "it has expired"
	case named && alg.text == "":
		return "", "its alg is empty"
	}
	return alg.text, ""
}
