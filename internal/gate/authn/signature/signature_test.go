package signature

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
)

// world is a directory of alice, who has a key of each kind, and of bob.
type world struct {
	dir    authntest.Directory
	keys   map[string]crypto.Signer // by algorithm
	bob    crypto.Signer
	now    time.Time
	any    bool
	method *Method
	n      atomic.Int64
}

var kept struct {
	once sync.Once
	keys map[string]crypto.Signer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	kept.once.Do(func() {
		r, _ := rsa.GenerateKey(rand.Reader, 2048)
		e, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		e3, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		_, ed, _ := ed25519.GenerateKey(rand.Reader)
		kept.keys = map[string]crypto.Signer{rsaPSS: r, rsaV15: r, ecdsaP256: e, ecdsaP384: e3, edwards: ed}
	})
	w := &world{keys: kept.keys, now: authntest.Time, any: true}
	_, w.bob, _ = ed25519.GenerateKey(rand.Reader)
	alice := model.User{ID: "1", Username: "alice", Active: true}
	for _, alg := range []string{rsaPSS, ecdsaP256, ecdsaP384, edwards} {
		alice.Credentials = append(alice.Credentials, credential(alg, w.keys[alg].Public()))
	}
	w.dir.Put(alice, model.User{ID: "2", Username: "bob", Active: true, Credentials: []model.Credential{credential("b", w.bob.Public())}})
	w.make()
	return w
}

func credential(id string, pub crypto.PublicKey) model.Credential {
	text, keyID := model.NormalPublicKey(pemOf(pub))
	return model.Credential{ID: id, Type: model.PublicKey, PublicKey: text, KeyID: keyID}
}

func pemOf(pub crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (w *world) make() *Method {
	w.method = &Method{Lookup: &w.dir, Cache: authn.NewCache(100), Hosts: authn.NewHosts("https://api.example.com", nil),
		Replay: authn.NewReplay(Age+Skew, 0), Now: func() time.Time { return w.now }, Any: func() bool { return w.any }}
	return w.method
}

// signing is a request to sign, and how.
type signing struct {
	request    *model.Request
	signer     crypto.Signer
	algorithm  string // that it is signed by
	components string
	parameters string // behind the components; %k is the key's id, %c now
	label      string
}

func (w *world) get() *signing {
	r := authntest.Request("Accept", "*/*", "Date", "Wed, 02 Jan 2030 03:04:05 GMT")
	r.Target, r.Time = "/orders?page=2", w.now
	return &signing{request: r, signer: w.keys[edwards], algorithm: edwards, components: `"@method" "@target-uri"`,
		parameters: fmt.Sprintf(`;created=%%c;keyid="%%k";nonce="n%d"`, w.n.Add(1)), label: "sig1"}
}

func sum(h crypto.Hash, b string) []byte {
	x := h.New()
	x.Write([]byte(b))
	return x.Sum(nil)
}

// sign is a second writing of the base: by hand, from the text of the member.
func (s *signing) sign(t testing.TB, w *world) *model.Request {
	t.Helper()
	member := "(" + s.components + ")" + s.parameters
	member = strings.ReplaceAll(member, "%k", model.Thumbprint(s.signer.Public()))
	member = strings.ReplaceAll(member, "%c", fmt.Sprint(w.now.Unix()))
	text := ""
	for _, name := range strings.Fields(s.components) {
		text += name + ": " + plain(s.request, strings.Trim(name, `"`)) + "\n"
	}
	text += `"@signature-params": ` + member
	var sig []byte
	var err error
	switch k := s.signer.(type) {
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(text))
	case *ecdsa.PrivateKey:
		n, digest := 32, sum(crypto.SHA256, text)
		if k.Curve == elliptic.P384() {
			n, digest = 48, sum(crypto.SHA384, text)
		}
		r, v, e := ecdsa.Sign(rand.Reader, k, digest)
		err = e
		sig = append(r.FillBytes(make([]byte, n)), v.FillBytes(make([]byte, n))...)
	case *rsa.PrivateKey:
		if s.algorithm == rsaV15 {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum(crypto.SHA256, text))
		} else {
			sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA512, sum(crypto.SHA512, text), &rsa.PSSOptions{SaltLength: 64})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	s.request.Fields = append(s.request.Fields, model.Field{Name: "Signature-Input", Value: s.label + "=" + member},
		model.Field{Name: "Signature", Value: s.label + "=:" + base64.StdEncoding.EncodeToString(sig) + ":"})
	return s.request
}

func plain(r *model.Request, name string) string {
	u := strings.SplitN(r.Target, "?", 2)
	switch name {
	case "@method":
		return r.Method
	case "@target-uri":
		return r.Scheme + "://" + r.Host + r.Target
	case "@authority", "host":
		return r.Host
	case "@path":
		return u[0]
	case "@query":
		if len(u) == 1 {
			return "?"
		}
		return "?" + u[1]
	case "@request-target":
		return r.Target
	case "@scheme":
		return r.Scheme
	}
	var all []string
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			all = append(all, strings.TrimSpace(f.Value))
		}
	}
	return strings.Join(all, ", ")
}

func (w *world) ask(r *model.Request) authn.Result {
	return w.method.Authenticate(context.Background(), r)
}

func code(r authn.Result) model.Code {
	if r.Err == nil {
		return ""
	}
	return r.Err.Code
}

func TestSignatureKeepsTheContract(t *testing.T) {
	w := newWorld(t)
	good := func(t testing.TB) *model.Request { return w.get().sign(t, w) }
	with := func(change func(*signing)) func(testing.TB) *model.Request {
		return func(t testing.TB) *model.Request {
			s := w.get()
			change(s)
			return s.sign(t, w)
		}
	}
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method { return w.make() },
		Good:   good, Once: true,
		Absent: map[string]func(testing.TB) *model.Request{
			"another Signature": func(testing.TB) *model.Request {
				return authntest.Request("Signature", `keyId="x",algorithm="rsa-sha256",signature="AAAA"`)
			},
			"Authorization: Signature": func(testing.TB) *model.Request { return authntest.Request("Authorization", "Signature keyId=x") },
		},
		Bad: map[string]func(testing.TB) *model.Request{
			"no signature": func(t testing.TB) *model.Request {
				r := good(t)
				r.Fields = r.Fields[:len(r.Fields)-1]
				return r
			},
			"an unknown key":          with(func(s *signing) { s.parameters = `;created=%c;keyid="` + strings.Repeat("A", 43) + `"` }),
			"a keyid of another form": with(func(s *signing) { s.parameters = `;created=%c;keyid="alice"` }),
			"no keyid":                with(func(s *signing) { s.parameters = `;created=%c` }),
			"another's key": with(func(s *signing) {
				s.parameters = strings.ReplaceAll(s.parameters, "%k", model.Thumbprint(w.bob.Public()))
			}),
			"no created":            with(func(s *signing) { s.parameters = `;keyid="%k"` }),
			"a symmetric algorithm": with(func(s *signing) { s.parameters += `;alg="hmac-sha256"` }),
			"garbage": func(testing.TB) *model.Request {
				return authntest.Request("Signature-Input", "garbage", "Signature", "garbage")
			},
		},
		Fail: w.dir.Fail,
		Deactivate: func() {
			w.dir.Put(model.User{ID: "1", Username: "alice", Credentials: []model.Credential{credential(edwards, w.keys[edwards].Public())}})
		},
	})
}

func TestEachKeyHasItsOwnAlgorithm(t *testing.T) {
	w := newWorld(t)
	all := []string{"", ecdsaP256, ecdsaP384, edwards, rsaPSS, rsaV15, "hmac-sha256", "none", "RSA-PSS-SHA512"}
	for _, own := range []string{ecdsaP256, ecdsaP384, edwards, rsaPSS, rsaV15} {
		for _, said := range all {
			s := w.get()
			s.signer, s.algorithm = w.keys[own], own
			if said != "" {
				s.parameters += `;alg="` + said + `"`
			}
			good := said == own || said == "" && own != rsaV15
			if r := w.ask(s.sign(t, w)); (r.Outcome == authn.Proven) != good {
				t.Errorf("signed by %s, said %q: %s", own, said, r.Detail)
			}
		}
	}
}

func TestASignatureMustCoverWhatItIsFor(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string]struct {
		components, target string
		body               bool
		good               bool
	}{
		"method and URI":                {`"@method" "@target-uri"`, "/o?a=b", false, true},
		"in parts":                      {`"@method" "@authority" "@path" "@query"`, "/o?a=b", false, true},
		"in parts, without a query":     {`"@method" "@authority" "@path"`, "/o", false, true},
		"in parts, less the query":      {`"@method" "@authority" "@path"`, "/o?a=b", false, false},
		"in parts, less an empty query": {`"@method" "@authority" "@path"`, "/o?", false, false},
		"by its request target":         {`"@method" "@authority" "@request-target"`, "/o?a=b", false, true},
		"with further fields":           {`"@method" "@target-uri" "date" "accept" "@scheme" "host"`, "/o", false, true},
		"nothing":                       {``, "/o", false, false},
		"no method":                     {`"@target-uri"`, "/o", false, false},
		"no host":                       {`"@method" "@path"`, "/o", false, false},
		"no path":                       {`"@method" "@authority"`, "/o", false, false},
		"the host as a field alone":     {`"@method" "host" "@path"`, "/o", false, false},
		"a body, and its digest":        {`"@method" "@target-uri" "content-digest"`, "/o", true, true},
		"a body, and no digest":         {`"@method" "@target-uri"`, "/o", true, false},
		"a digest, and no body":         {`"@method" "@target-uri" "content-digest"`, "/o", false, true},
		"a field that is not there":     {`"@method" "@target-uri" "x-none"`, "/o", false, false},
		"an unknown component":          {`"@method" "@target-uri" "@status"`, "/o", false, false},
		"a name in upper case":          {`"@method" "@target-uri" "Date"`, "/o", false, false},
		"a component twice":             {`"@method" "@target-uri" "@method"`, "/o", false, false},
		"a name that is none":           {`"@method" "@target-uri" "a:b"`, "/o", false, false},
		"an empty name":                 {`"@method" "@target-uri" ""`, "/o", false, false},
	} {
		s := w.get()
		s.components, s.request.Target, s.request.Body = tc.components, tc.target, tc.body
		s.request.Fields = append(s.request.Fields, model.Field{Name: "Content-Digest", Value: "sha-256=:AAAA:"})
		if r := w.ask(s.sign(t, w)); (r.Outcome == authn.Proven) != tc.good {
			t.Errorf("%s: %s", name, r.Detail)
		}
	}
	// What the head says of a body counts where no door says it.
	for _, f := range []model.Field{{Name: "Content-Length", Value: "5"}, {Name: "transfer-encoding", Value: "chunked"}} {
		s := w.get()
		s.request.Fields = append(s.request.Fields, f)
		if r := w.ask(s.sign(t, w)); r.Outcome != authn.Bad {
			t.Errorf("%s: a body that is not covered passed", f.Name)
		}
	}
	s := w.get()
	s.request.Fields = append(s.request.Fields, model.Field{Name: "Content-Length", Value: "0"})
	if r := w.ask(s.sign(t, w)); r.Outcome != authn.Proven {
		t.Error(r.Detail)
	}
}

func TestAChangedRequestIsNotTheOneThatWasSigned(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*model.Request){
		"method":    func(r *model.Request) { r.Method = "DELETE" },
		"path":      func(r *model.Request) { r.Target = "/admin?page=2" },
		"query":     func(r *model.Request) { r.Target = "/orders?page=3" },
		"host":      func(r *model.Request) { r.Host = "api.example.com:8443" },
		"scheme":    func(r *model.Request) { r.Scheme = "http" },
		"a field":   func(r *model.Request) { r.Fields[1].Value = "Thu, 03 Jan 2030 03:04:05 GMT" },
		"one more":  func(r *model.Request) { r.Fields = append(r.Fields, model.Field{Name: "Date", Value: "x"}) },
		"one less":  func(r *model.Request) { r.Fields[1].Name = "X-Date" },
		"the label": func(r *model.Request) { r.Fields[2].Value = strings.Replace(r.Fields[2].Value, "sig1=", "sig2=", 1) },
		"created": func(r *model.Request) {
			r.Fields[2].Value = strings.Replace(r.Fields[2].Value, "created=18", "created=189", 1)
		},
		"its nonce": func(r *model.Request) {
			r.Fields[2].Value = strings.Replace(r.Fields[2].Value, `nonce="n`, `nonce="m`, 1)
		},
		"its order": func(r *model.Request) {
			r.Fields[2].Value = strings.Replace(r.Fields[2].Value, `"@method" "@target-uri"`, `"@target-uri" "@method"`, 1)
		},
		"what it covers": func(r *model.Request) { r.Fields[2].Value = strings.Replace(r.Fields[2].Value, ` "date"`, ``, 1) },
	} {
		s := w.get()
		s.components += ` "date"`
		r := s.sign(t, w)
		change(r)
		if res := w.ask(r); res.Outcome != authn.Bad || code(res) != model.CredentialInvalid {
			t.Errorf("%s: outcome %d %s", name, res.Outcome, res.Detail)
		}
	}
}

func TestSpellingsThatMeanTheSameAreTheSame(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*model.Request){
		"the host in upper case, with its port": func(r *model.Request) { r.Host = "API.example.com:443" },
		"more spaces in the list": func(r *model.Request) {
			r.Fields[2].Value = strings.Replace(r.Fields[2].Value, `("@method" "`, `(  "@method"   "`, 1)
		},
		"a space behind a semicolon": func(r *model.Request) {
			r.Fields[2].Value = strings.Replace(r.Fields[2].Value, `;created`, `; created`, 1)
		},
		"the fields in other names' case": func(r *model.Request) { r.Fields[2].Name, r.Fields[3].Name = "signature-input", "SIGNATURE" },
	} {
		r := w.get().sign(t, w)
		change(r)
		if res := w.ask(r); res.Outcome != authn.Proven {
			t.Errorf("%s: %s", name, res.Detail)
		}
	}
}

func TestASignatureHasItsTime(t *testing.T) {
	w := newWorld(t)
	at := w.now.Unix()
	for name, tc := range map[string]struct {
		parameters string
		good       bool
	}{
		"five minutes ago":        {fmt.Sprintf(`;created=%d;keyid="%%k"`, at-299), true},
		"longer ago":              {fmt.Sprintf(`;created=%d;keyid="%%k"`, at-301), false},
		"half a minute ahead":     {fmt.Sprintf(`;created=%d;keyid="%%k"`, at+29), true},
		"further ahead":           {fmt.Sprintf(`;created=%d;keyid="%%k"`, at+31), false},
		"created as a text":       {fmt.Sprintf(`;created="%d";keyid="%%k"`, at), false},
		"created as a decimal":    {fmt.Sprintf(`;created=%d.5;keyid="%%k"`, at), false},
		"created twice":           {fmt.Sprintf(`;created=%d;created=%d;keyid="%%k"`, at, at), false},
		"created before 1970":     {`;created=-1;keyid="%k"`, false},
		"created very late":       {`;created=999999999999999;keyid="%k"`, false},
		"not expired":             {fmt.Sprintf(`;created=%d;expires=%d;keyid="%%k"`, at, at+1), true},
		"expired":                 {fmt.Sprintf(`;created=%d;expires=%d;keyid="%%k"`, at-10, at), false},
		"expires as a text":       {fmt.Sprintf(`;created=%d;expires="x";keyid="%%k"`, at), false},
		"a parameter that is new": {fmt.Sprintf(`;created=%d;keyid="%%k";depth=1`, at), false},
		"a tag":                   {fmt.Sprintf(`;created=%d;keyid="%%k";tag="app"`, at), true},
		"an empty algorithm":      {fmt.Sprintf(`;created=%d;keyid="%%k";alg=""`, at), false},
	} {
		s := w.get()
		s.parameters = tc.parameters
		if r := w.ask(s.sign(t, w)); (r.Outcome == authn.Proven) != tc.good {
			t.Errorf("%s: %s", name, r.Detail)
		}
	}
}

func TestASignatureIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	s := w.get()
	s.signer, s.algorithm = w.keys[ecdsaP256], ecdsaP256
	r := s.sign(t, w)
	if res := w.ask(r); res.Outcome != authn.Proven {
		t.Fatal(res.Detail)
	}
	again := *r
	trial := *w.get().sign(t, w)
	for i, isTrial := range []bool{true, true, false, true} {
		trial.Trial = isTrial
		if res := w.ask(&trial); (res.Outcome == authn.Proven) != (i < 3) {
			t.Errorf("%d: a trial used the signature up, or did not see that it was: %s", i, res.Detail)
		}
	}
	for _, later := range []time.Duration{0, 2 * time.Minute, 2*time.Minute + 50*time.Second} {
		w.now = w.now.Add(later)
		again.Time = w.now
		if res := w.ask(&again); res.Outcome != authn.Bad {
			t.Errorf("after %v it was taken again", later)
		}
	}
	// Another signature of the same text, as anybody can make of an ECDSA signature.
	value := again.Fields[3].Value
	sig, _ := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimPrefix(value, "sig1="), ":"))
	twin := mirrored(sig)
	again.Fields[3].Value = "sig1=:" + base64.StdEncoding.EncodeToString(twin) + ":"
	w.now = authntest.Time
	again.Time = w.now
	if res := w.ask(&again); res.Outcome != authn.Bad || !strings.Contains(res.Detail, "before") {
		t.Errorf("its mirror image was taken: %s", res.Detail)
	}
	w.method.Replay = authn.NewReplay(time.Minute, 1)
	w.ask(w.get().sign(t, w))
	if res := w.ask(w.get().sign(t, w)); code(res) != model.IdentityUnavailable {
		t.Errorf("no room to remember it: %q", code(res))
	}
}

// mirrored is (r, n-s), which verifies wherever (r, s) does.
func mirrored(sig []byte) []byte {
	n := elliptic.P256().Params().N
	s := new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:]))
	return append(append([]byte{}, sig[:32]...), s.FillBytes(make([]byte, 32))...)
}

// TestASignatureForAnotherHostIsNotPassedOn: whoever is called with a signature
// under a name of his own could send it here with that name as Host.
func TestASignatureForAnotherHostIsNotPassedOn(t *testing.T) {
	w := newWorld(t)
	s := w.get()
	s.request.Host = "evil.example.net"
	if r := w.ask(s.sign(t, w)); r.Outcome != authn.Bad || !strings.Contains(r.Detail, "host") {
		t.Errorf("outcome %d %s", r.Outcome, r.Detail)
	}
}

func TestSeveralSignatures(t *testing.T) {
	w := newWorld(t)
	stranger := func(r *model.Request) {
		r.Fields = append(r.Fields, model.Field{Name: "Signature-Input", Value: `proxy=("@method");created=1;keyid="unknown-to-us"`},
			model.Field{Name: "Signature", Value: "proxy=:AAAA:"})
	}
	r := w.get().sign(t, w)
	stranger(r)
	if res := w.ask(r); res.Outcome != authn.Proven || authntest.Who(res) != "alice" {
		t.Errorf("one of ours and one of a stranger's: %s", res.Detail)
	}
	r = w.get().sign(t, w)
	second := w.get()
	second.label, second.signer, second.request = "sig2", w.bob, r
	if res := w.ask(second.sign(t, w)); res.Outcome != authn.Bad || code(res) != model.CredentialInvalid {
		t.Errorf("two users' signatures: outcome %d", res.Outcome)
	}
	r = w.get().sign(t, w)
	second = w.get()
	second.label, second.signer, second.algorithm, second.request = "sig2", w.keys[ecdsaP256], ecdsaP256, r
	if res := w.ask(second.sign(t, w)); res.Outcome != authn.Bad {
		t.Errorf("two signatures by one user's keys: outcome %d", res.Outcome)
	}
	r = w.get().sign(t, w)
	second = w.get()
	second.request = r // of the same label
	if res := w.ask(second.sign(t, w)); res.Outcome != authn.Bad {
		t.Errorf("one label twice: outcome %d", res.Outcome)
	}
}

func TestAKeyEndsWithItsUser(t *testing.T) {
	w := newWorld(t)
	if r := w.ask(w.get().sign(t, w)); r.Outcome != authn.Proven || r.Proof.Ambient {
		t.Fatal(r.Detail)
	}
	asked := w.dir.Asked()
	for range 5 {
		w.ask(w.get().sign(t, w))
	}
	if w.dir.Asked() != asked {
		t.Error("a known key is looked up again")
	}
	w.dir.Put(model.User{ID: "1", Username: "alice", Active: true})
	if r := w.ask(w.get().sign(t, w)); code(r) != model.CredentialInvalid {
		t.Errorf("a key that was taken away: %q", code(r))
	}
	past := w.now.Add(-time.Second)
	c := credential("x", w.keys[edwards].Public())
	c.ExpiresAt = &past
	w.dir.Put(model.User{ID: "1", Username: "alice", Active: true, Credentials: []model.Credential{c}})
	if r := w.ask(w.get().sign(t, w)); code(r) != model.CredentialExpired {
		t.Errorf("a key that has expired: %q", code(r))
	}
}

func TestWhereNobodyHasAKeySignaturesMeanNothing(t *testing.T) {
	w := newWorld(t)
	w.any = false
	if r := w.ask(w.get().sign(t, w)); r.Outcome != authn.NotMine {
		t.Errorf("outcome %d", r.Outcome)
	}
	if c := w.method.Challenge(nil); c != "" {
		t.Error(c)
	}
	w.any = true
	if c := w.method.Challenge(nil); c != `Signature realm="sallyport"` {
		t.Error(c)
	}
}

func BenchmarkSigned(b *testing.B) {
	w := newWorld(b)
	for _, alg := range []string{edwards, ecdsaP256, rsaPSS} {
		b.Run(alg, func(b *testing.B) {
			var requests []*model.Request
			for range b.N {
				s := w.get()
				s.signer, s.algorithm = w.keys[alg], alg
				requests = append(requests, s.sign(b, w))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, r := range requests {
				if res := w.ask(r); res.Outcome != authn.Proven {
					b.Fatal(res.Detail)
				}
			}
		})
	}
}
