//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// samlIDP is SimpleSAMLphp, as Debian packages it, under PHP's own server: an
// identity provider that asks for signed requests, signs responses and assertions,
// encrypts these, and signs logouts.
type samlIDP struct {
	base string // http://127.0.0.1:PORT
	dir  string
}

const simpleSAMLphp = "/usr/share/simplesamlphp/www"

// startSAMLIDP starts it with users anna and bert. Service providers are those whose
// metadata admit adds.
func startSAMLIDP(t *testing.T) *samlIDP {
	t.Helper()
	php := need(t, "php")
	if _, err := os.Stat(simpleSAMLphp); err != nil {
		t.Fatal("SimpleSAMLphp is not installed: run scripts/install-real-parts, or apt-get install simplesamlphp php-xml php-mbstring")
	}
	idp := &samlIDP{dir: t.TempDir()}
	port := freePort(t)
	idp.base = fmt.Sprintf("http://127.0.0.1:%d", port)
	for _, d := range []string{"metadata", "cert", "log", "data", "tmp", "session"} {
		if err := os.MkdirAll(filepath.Join(idp.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	idp.makeKey(t, "idp")
	idp.makeKey(t, "next")
	idp.write(t, "config.php", `<?php $config = [
	'baseurlpath' => '`+idp.base+`/', 'certdir' => '`+idp.dir+`/cert/', 'loggingdir' => '`+idp.dir+`/log/', 'datadir' => '`+idp.dir+`/data/',
	'tempdir' => '`+idp.dir+`/tmp', 'metadatadir' => '`+idp.dir+`/metadata/', 'attributenamemapdir' => '/etc/simplesamlphp/attributemap/',
	'secretsalt' => 'of the test alone', 'auth.adminpassword' => 'of the test alone', 'timezone' => 'UTC', 'technicalcontact_email' => 'na@example.com',
	'logging.handler' => 'errorlog', 'logging.level' => SimpleSAML\Logger::NOTICE, 'showerrors' => true, 'debug' => ['validatexml' => false],
	'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
	'session.cookie.secure' => false, 'session.cookie.samesite' => null, 'session.phpsession.savepath' => '`+idp.dir+`/session', 'session.phpsession.httponly' => true,
	'store.type' => 'phpsession', 'language.default' => 'en', 'language.available' => ['en'], 'theme.use' => 'default', 'production' => true,
	'authproc.idp' => [], 'authproc.sp' => [],
	'metadata.sources' => [['type' => 'flatfile'], ['type' => 'xml', 'file' => '`+idp.dir+`/sp.xml']],
];`)
	idp.write(t, "authsources.php", `<?php $config = ['people' => ['exampleauth:UserPass',
	'anna:of anna' => ['uid' => ['anna'], 'mail' => ['anna@example.com'], 'groups' => ['staff', 'admins']],
	'bert:of bert' => ['uid' => ['bert'], 'mail' => ['bert@example.com'], 'groups' => ['staff']],
]];`)
	idp.hosted(t, `'privatekey' => 'idp.pem', 'certificate' => 'idp.crt'`, "")
	idp.admit(t, "<md:EntitiesDescriptor xmlns:md='urn:oasis:names:tc:SAML:2.0:metadata'/>")
	p := launch(t, idp.dir, []string{"SIMPLESAMLPHP_CONFIG_DIR=" + idp.dir}, php,
		"-d", "session.save_path="+idp.dir+"/session", "-d", "opcache.enable=0", "-d", "display_errors=0", "-S", fmt.Sprintf("127.0.0.1:%d", port), "-t", simpleSAMLphp)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if answer, err := http.Get(idp.metadataURL()); err == nil {
			b, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return idp
			}
			t.Fatalf("SimpleSAMLphp answers %s: %s", answer.Status, tail(string(b), 2000))
		}
		if !p.running() || time.Now().After(deadline) {
			t.Fatal("SimpleSAMLphp has not started")
		}
	}
}

func (i *samlIDP) metadataURL() string { return i.base + "/saml2/idp/metadata.php" }

func (i *samlIDP) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hosted says how the provider behaves: its keys, and further settings.
func (i *samlIDP) hosted(t testing.TB, keys, more string) {
	t.Helper()
	i.write(t, "metadata/saml20-idp-hosted.php", `<?php $metadata['`+i.base+`/entity'] = ['host' => '__DEFAULT__', `+keys+`, 'auth' => 'people',
	'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256', 'validate.authnrequest' => true, 'redirect.validate' => true,
	'saml20.sign.response' => true, 'saml20.sign.assertion' => true, 'assertion.encryption' => true,
	'sign.logout' => true, 'redirect.sign' => true, 'validate.logout' => true,
	'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', `+more+`
	'authproc' => [3 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent'],
		4 => ['class' => 'saml:AttributeNameID', 'attribute' => 'mail', 'Format' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress']],
];`)
}

// admit tells the provider of a service provider, by its own metadata.
func (i *samlIDP) admit(t testing.TB, metadata string) { i.write(t, "sp.xml", metadata) }

func (i *samlIDP) makeKey(t testing.TB, name string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	i.write(t, "cert/"+name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	i.write(t, "cert/"+name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

// person is a browser without JavaScript, and somebody who fills in its forms.
type person struct {
	t      testing.TB
	client *http.Client
}

func newPerson(t testing.TB) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, client: &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

// shown is what came at last, after all redirects.
type shown struct {
	url    *url.URL
	status int
	text   string
	action string // of its first form; "" = it has none
	form   url.Values
}

func (p *person) get(u string) *shown {
	p.t.Helper()
	answer, err := p.client.Get(u)
	return p.read(answer, err)
}

// submit posts a page's form, with these fields filled in.
func (p *person) submit(at *shown, fields ...string) *shown {
	p.t.Helper()
	if at.action == "" {
		p.t.Fatalf("no form at %s: %s", at.url, tail(at.text, 1500))
	}
	for i := 0; i+1 < len(fields); i += 2 {
		at.form.Set(fields[i], fields[i+1])
	}
	answer, err := p.client.PostForm(at.action, at.form)
	return p.read(answer, err)
}

func (p *person) read(answer *http.Response, err error) *shown {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	out := &shown{url: answer.Request.URL, status: answer.StatusCode, text: string(b)}
	root, err := html.Parse(strings.NewReader(out.text))
	if err != nil {
		p.t.Fatal(err)
	}
	out.find(root)
	return out
}

func (p *shown) find(n *html.Node) {
	attr := func(name string) string {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	switch {
	case n.Type == html.ElementNode && n.Data == "form" && p.action == "":
		if to, err := p.url.Parse(attr("action")); err == nil {
			p.action, p.form = to.String(), url.Values{}
		}
	case n.Type == html.ElementNode && n.Data == "input" && p.form != nil && attr("name") != "" && attr("type") != "checkbox":
		p.form.Set(attr("name"), attr("value"))
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		p.find(c)
	}
}
