//go:build e2e

package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const signed = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}, {name: kept, targets: [{url: "BACKEND"}], callerCredential: forward}]
roles: [{name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}]
users:
  - {username: robot, kind: service, roles: [writer]}
  - {username: bob, roles: [writer], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: any, paths: [/any], service: api}
  - {name: kept, paths: [/kept], service: kept}
  - {name: only, paths: [/only], service: api, authenticate: {anyOf: [signature]}}
  - {name: open, paths: [/open], service: api, access: public}
`

// signer is a client that signs by RFC 9421.
type signer struct {
	key       crypto.Signer
	keyID, id string
}

// newSigner makes a key and has it given to a user.
func (g *gateway) newSigner(t testing.TB, user string, key crypto.Signer) *signer {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ ID, KeyID, PublicKey, Secret string }
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	g.must(t, 201, "POST", "/v2/users/"+user+"/credentials", jsonText(map[string]any{"type": "publicKey", "publicKey": text})).into(t, &c)
	if len(c.KeyID) != 43 || c.PublicKey != text || c.Secret != "" {
		t.Fatalf("made %+v", c)
	}
	return &signer{key: key, keyID: c.KeyID, id: c.ID}
}

// sign signs a request as its client is about to send it.
func (s *signer) sign(components ...string) mod {
	return func(r *http.Request) {
		host := r.Host
		if host == "" {
			host = r.URL.Host
		}
		params := `("` + strings.Join(components, `" "`) + fmt.Sprintf(`");created=%d;nonce=%q;keyid=%q`, time.Now().Unix(), rand.Text(), s.keyID)
		text := ""
		for _, c := range components {
			v := map[string]string{"@method": r.Method, "@target-uri": "https://" + host + r.URL.RequestURI(), "@authority": host,
				"@path": r.URL.EscapedPath(), "@query": "?" + r.URL.RawQuery}[c]
			if v == "" {
				v = strings.Join(r.Header.Values(c), ", ")
			}
			text += fmt.Sprintf("%q: %s\n", c, v)
		}
		text += `"@signature-params": ` + params
		var sig []byte
		switch k := s.key.(type) {
		case ed25519.PrivateKey:
			sig = ed25519.Sign(k, []byte(text))
		case *ecdsa.PrivateKey:
			sum := sha256.Sum256([]byte(text))
			a, b, _ := ecdsa.Sign(rand.Reader, k, sum[:])
			sig = append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
		case *rsa.PrivateKey:
			h := crypto.SHA512.New()
			h.Write([]byte(text))
			sig, _ = rsa.SignPSS(rand.Reader, k, crypto.SHA512, h.Sum(nil), &rsa.PSSOptions{SaltLength: 64})
		}
		r.Header.Set("Signature-Input", "sig1="+params)
		r.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(sig)+":")
	}
}

func TestASignedRequestIsItsKeysUser(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(signed, b.URL)})
		api := header("Host", "api.example.com")
		const whole = "@target-uri"
		challenged := func() bool {
			a := g.call(t, "GET", "/any", "")
			a.expect(t, "nobody", 401, "credential_missing")
			return strings.Contains(strings.Join(a.header.Values("WWW-Authenticate"), ", "), "Signature")
		}
		// Nobody has a key: signatures are neither asked for nor looked at.
		if challenged() {
			t.Error("a signature is asked for that nobody could give")
		}
		stray := header("Signature-Input", `x=("@method");created=1;keyid="y"`)
		g.call(t, "GET", "/any", "", user("bob"), stray, header("Signature", "x=:AAAA:")).expect(t, "a signature that means nothing here", 200, "")

		_, private, _ := ed25519.GenerateKey(rand.Reader)
		p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
		keys := map[string]*signer{"ed25519": g.newSigner(t, "robot", private), "p256": g.newSigner(t, "robot", p256), "rsa": g.newSigner(t, "robot", rsaKey)}
		if !challenged() {
			t.Error("no signature is asked for, although somebody has a key")
		}
		for name, s := range keys {
			a := g.call(t, "GET", "/any/thing?x=1&y=%20", "", api, s.sign("@method", whole))
			a.expect(t, name, 200, "")
			if h := a.asked(t).Header; h.Get("X-User") != "robot" || h.Get("X-Auth-Method") != "signature" || h.Get("Signature") != "" || h.Get("Signature-Input") != "" {
				t.Errorf("%s: the backend saw %v", name, h)
			}
			h2, err := exchange(g.h2, "GET", g.url("/any"), "", api, s.sign("@method", "@authority", "@path"))
			if err != nil || h2.status != 200 {
				t.Errorf("%s over HTTP/2: %v %+v", name, err, h2)
			}
		}
		s := keys["ed25519"]
		kept := g.call(t, "GET", "/kept", "", api, s.sign("@method", whole)).asked(t).Header
		if kept.Get("Signature") == "" || kept.Get("Signature-Input") == "" {
			t.Errorf("callerCredential: forward, and the backend saw %v", kept)
		}
		const body = `{"hello": "world"}`
		sum := sha256.Sum256([]byte(body))
		digest := header("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
		a := g.call(t, "POST", "/any", body, api, digest, s.sign("@method", whole, "content-digest"))
		a.expect(t, "a body with its digest", 200, "")
		if h := a.asked(t).Header; h.Get("Content-Digest") == "" {
			t.Errorf("the backend cannot check the body: %v", h)
		}
		g.call(t, "GET", "/only", "", user("bob")).expect(t, "a password where a signature is asked for", 401, "credential_missing")
		d, _ := g.eventsOf(t, a.header.Get("X-Request-Id"))
		if d.User != "robot" || d.Credential != s.id {
			t.Errorf("event %+v", d)
		}

		chunked := func(r *http.Request) { r.ContentLength = -1 }
		for what, mods := range map[string][]mod{
			"a body that is not covered":             {api, s.sign("@method", whole)},
			"a chunked body that is not covered":     {api, s.sign("@method", whole), chunked},
			"another method than was signed":         {api, digest, func(r *http.Request) { r.Method = "PUT" }, s.sign("@method", whole, "content-digest"), func(r *http.Request) { r.Method = "POST" }},
			"another path than was signed":           {api, digest, s.sign("@method", whole, "content-digest"), func(r *http.Request) { r.URL.Path = "/any/else" }},
			"another query than was signed":          {api, digest, s.sign("@method", whole, "content-digest"), func(r *http.Request) { r.URL.RawQuery = "x=2" }},
			"another digest than was signed":         {api, digest, s.sign("@method", whole, "content-digest"), header("Content-Digest", "sha-256=:AAAA:")},
			"no URL covered":                         {api, digest, s.sign("@method", "content-digest")},
			"another host, passed on":                {header("Host", "evil.example.net"), digest, s.sign("@method", whole, "content-digest")},
			"a key that nobody has":                  {api, digest, (&signer{key: private, keyID: strings.Repeat("A", 43)}).sign("@method", whole, "content-digest")},
			"another's key":                          {api, digest, (&signer{key: private, keyID: keys["p256"].keyID}).sign("@method", whole, "content-digest")},
			"a good password beside a bad signature": {api, user("bob"), digest, s.sign("@method", "content-digest")},
		} {
			g.call(t, "POST", "/any", body, mods...).expect(t, what, 401, "credential_invalid")
		}
		if h2, err := exchange(g.h2, "POST", g.url("/any"), body, api, s.sign("@method", whole), chunked); err != nil || h2.status != 401 {
			t.Errorf("a body that is not covered over HTTP/2: %v %+v", err, h2)
		}

		// The same bytes again are nobody's.
		var first http.Header
		g.call(t, "GET", "/any", "", api, s.sign("@method", whole), func(r *http.Request) { first = r.Header.Clone() }).expect(t, "once", 200, "")
		again := func(r *http.Request) {
			for _, n := range []string{"Signature", "Signature-Input"} {
				r.Header[n] = first[n]
			}
		}
		g.call(t, "GET", "/any", "", api, again).expect(t, "again", 401, "credential_invalid")
		g.call(t, "GET", "/open", "", api, again).expect(t, "on a public route it does not matter", 200, "")

		// CVE-2025-64521: a deactivated user comes in by no credential.
		g.must(t, 200, "PATCH", "/v2/users/robot", `{"active":false}`)
		for name, k := range keys {
			g.call(t, "GET", "/any", "", api, k.sign("@method", whole)).expect(t, name+" of a deactivated user", 401, "credential_invalid")
		}
		g.must(t, 200, "PATCH", "/v2/users/robot", `{"active":true}`)
		g.call(t, "GET", "/any", "", api, s.sign("@method", whole)).expect(t, "active again", 200, "")

		// A key that is taken away ends at once; with the last one the method goes.
		list := g.must(t, 200, "GET", "/v2/users/robot/credentials", "").body
		if !strings.Contains(list, s.keyID) || !strings.Contains(list, "BEGIN PUBLIC KEY") {
			t.Errorf("listed as %s", list)
		}
		for name, k := range keys {
			g.must(t, 204, "DELETE", "/v2/users/robot/credentials/"+k.id, "")
			if a := g.call(t, "GET", "/any", "", api, k.sign("@method", whole)); a.status != 401 {
				t.Errorf("%s: after its end: %d", name, a.status)
			}
		}
		if challenged() {
			t.Error("a signature is asked for, although nobody has a key any more")
		}
	})
}

// TestTheExampleOfASignedRequestWorks runs the lines of docs/how-to/sign-requests.md.
func TestTheExampleOfASignedRequestWorks(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "how-to", "sign-requests.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, script, ok := strings.Cut(string(page), "```sh signs\n")
	script, _, ok2 := strings.Cut(script, "```")
	if !ok || !ok2 {
		t.Fatal("the page has no example")
	}
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(signed, b.URL), external: "https://localhost"})
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".curlrc"), "insecure\n")
	run := func(script string, env ...string) string {
		t.Helper()
		c := exec.Command("sh", "-e", "-c", script)
		c.Dir, c.Env = dir, append(os.Environ(), append(env, "CURL_HOME="+dir)...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	need(t, "openssl")
	need(t, "curl")
	run("openssl genpkey -algorithm ed25519 -out client.key && openssl pkey -in client.key -pubout -out client.pub")
	pub, err := os.ReadFile(filepath.Join(dir, "client.pub"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ KeyID string }
	g.must(t, 201, "POST", "/v2/users/robot/credentials", jsonText(map[string]any{"type": "publicKey", "publicKey": string(pub)})).into(t, &c)
	_, port, _ := strings.Cut(g.proxy, ":")
	for range 2 {
		if out := run(script, "URL=https://localhost:"+port+"/only?a=b", "KEYID="+c.KeyID); !strings.Contains(out, "robot") {
			t.Errorf("the backend answered %s", out)
		}
	}
}
