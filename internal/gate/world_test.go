package gate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/all"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/gate/identity"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/strict"
)

// people is a store of users in memory.
type people struct {
	mu    sync.Mutex
	users map[string]*model.User
	down  bool
	asked int // to provision
}

var errDown = errors.New("the store is down")

func (p *people) FindUser(_ context.Context, k directory.Key) (*model.User, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, "", errDown
	}
	for _, u := range p.users {
		if k.By == directory.ByUsername {
			if strings.EqualFold(u.Username, k.A) {
				c := directory.CredentialFor(u, k)
				if c == nil {
					return clone(u), "", nil
				}
				return clone(u), c.ID, nil
			}
			continue
		}
		if c := directory.CredentialFor(u, k); c != nil {
			return clone(u), c.ID, nil
		}
	}
	return nil, "", nil
}

func (p *people) UserByID(_ context.Context, id string) (*model.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, errDown
	}
	if u := p.users[id]; u != nil {
		return clone(u), nil
	}
	return nil, nil
}

func clone(u *model.User) *model.User {
	c := *u
	c.Credentials = append([]model.Credential(nil), u.Credentials...)
	return &c
}

// Provision links by username, as provision: match does.
func (p *people) Provision(_ context.Context, o directory.Outside) (string, []string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.down {
		return "", nil, errDown
	}
	for _, u := range p.users {
		if strings.EqualFold(u.Username, o.Username) {
			for _, c := range u.Credentials {
				if c.Type == model.Link && c.Provider == o.Provider.Name && c.Subject == o.Subject {
					return u.ID, nil, nil
				}
			}
			u.Credentials = append(u.Credentials, model.Credential{ID: "link-" + o.Subject, Type: model.Link, Provider: o.Provider.Name, Subject: o.Subject})
			return u.ID, nil, nil
		}
	}
	return "", nil, nil
}

// ledger is a recorder that keeps what it was told.
type ledger struct {
	n    int
	fail error
}

func (l *ledger) Decided(*gate.Exchange) error { l.n++; return l.fail }

// world is a gate with a plan and people.
type world struct {
	t         testing.TB
	gate      *gate.Gate
	plan      *gate.Plan
	people    *people
	directory *directory.Directory
	ledger    *ledger
	env       gate.Env
	key       string // alice's API key
	signer    jose.Signer
	csrf      *csrf.Check
	hasher    *secret.Hasher

	logins   logins
	upgraded atomic.Int64 // hashes that were made anew
}

const settled = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: orders, targets: [{url: "http://10.0.0.5:8080"}]}]
roles:
  - {name: reader, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: [orders], methods: ["*"]}]}
groups: [{name: staff, roles: [reader]}]
routes:
  - {name: orders, paths: [/orders], service: orders}
  - {name: open, paths: [/open], service: orders, access: public}
  - {name: maybe, paths: [/maybe], service: orders, access: optional}
  - {name: anyone, paths: [/anyone], service: orders, access: authenticated}
  - {name: verbatim, paths: [/files], service: orders, access: public, path: verbatim}
  - {name: trial, paths: [/trial], service: orders, mode: report}
  - {name: app, paths: [/app], service: orders, access: authenticated, cors: {origins: ["https://app.example.com"], credentials: true, methods: [PUT]}}
identityProviders: [{name: tokens, type: jwt, issuer: "https://idp.example.com", audiences: [api], keyFile: keys.pem, provision: match}]
`

func newWorld(t testing.TB, document string) *world {
	t.Helper()
	dir := t.TempDir()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKIXPublicKey(&priv.PublicKey)
	if err := os.WriteFile(filepath.Join(dir, "keys.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: priv}, nil)
	if err != nil {
		t.Fatal(err)
	}
	full, id, prefix, hash := secret.NewAPIKey()
	hasher := secret.NewHasher(secret.Options{})
	t.Cleanup(hasher.Close)
	password, err := secret.Bcrypt("alices", 4)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ledger: &ledger{}, key: full, signer: signer, hasher: hasher, csrf: csrf.New([]byte(strings.Repeat("k", 32))),
		people: &people{users: map[string]*model.User{
			"1": {ID: "1", Username: "alice", Kind: model.Person, Active: true, Emails: []string{"alice@example.com"}, Roles: []string{"writer"}, Groups: []string{"staff"},
				Credentials: []model.Credential{{ID: "p", Type: model.Password, Hash: password}, {ID: id, Type: model.APIKey, Prefix: prefix, Hash: hash}}},
			"2": {ID: "2", Username: "bob", Kind: model.Person, Active: true, Groups: []string{"staff"}, Credentials: []model.Credential{{ID: "q", Type: model.Password, Hash: password}}},
		}}}
	w.directory = directory.New(w.people, directory.Options{})
	sign, err := identity.NewSigner(filepath.Join(dir, "sign"), time.Now, "https://api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	registry := keys.NewRegistry(keys.Options{Dir: dir})
	t.Cleanup(registry.Close)
	deps := all.Deps{Lookup: w.directory, Users: w.directory, Sessions: &w.logins, Hasher: hasher, Cache: authn.NewCache(0), Keys: registry,
		Upgrade: func(_, _, _ string) { w.upgraded.Add(1) }}
	w.env = gate.Env{ID: "sallyport-1", ExternalURL: "https://api.example.com", BodyBytes: 10 << 20, ClientCA: true,
		Own: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8443")},
		Methods: func(set *model.Set) ([]authn.Method, model.Faults) {
			d := deps
			d.Providers = set.IdentityProviders
			return all.New(d)
		}}
	w.gate = gate.New(gate.Deps{Directory: w.directory, Provisioner: w.people, Signer: sign, CSRF: w.csrf, Recorder: w.ledger, Now: time.Now})
	set, faults := parse(document)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if w.plan, faults = gate.Compile(set, w.env); len(faults) > 0 {
		t.Fatal(faults)
	}
	registry.Retain(set.IdentityProviders)
	return w
}

func parse(document string) (*model.Set, model.Faults) {
	n, faults := strict.YAML([]byte(document), "test.yaml")
	if len(faults) > 0 {
		return nil, faults
	}
	set := model.NewSet()
	return set, n.Into(set)
}

// ask decides one request: "METHOD /target", then names and values of fields.
func (w *world) ask(request string, fields ...string) *gate.Exchange {
	method, target, _ := strings.Cut(request, " ")
	ex := &gate.Exchange{Plan: w.plan, ID: "r1"}
	ex.Method, ex.Request.Target, ex.Host, ex.Scheme = method, target, "api.example.com", "https"
	ex.Peer, ex.Time = netip.MustParseAddr("192.0.2.7"), time.Now()
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			ex.Host = fields[i+1]
			continue
		}
		ex.Fields = append(ex.Fields, model.Field{Name: fields[i], Value: fields[i+1]})
	}
	w.gate.Decide(context.Background(), ex)
	return ex
}

func password(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

func (w *world) token(subject string, mod ...func(map[string]any)) string {
	claims := map[string]any{"iss": "https://idp.example.com", "aud": "api", "sub": subject, "preferred_username": subject,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for _, m := range mod {
		m(claims)
	}
	s, err := jwt.Signed(w.signer).Claims(claims).Serialize()
	if err != nil {
		w.t.Fatal(err)
	}
	return "Bearer " + s
}

// sent is what the backend would receive under a name.
func sent(ex *gate.Exchange, name string) (values []string) {
	for _, list := range [][]model.Field{ex.Fields, ex.Add} {
		for _, f := range list {
			if !f.Dropped && model.EqualFold(f.Name, name) {
				values = append(values, f.Value)
			}
		}
	}
	return values
}
