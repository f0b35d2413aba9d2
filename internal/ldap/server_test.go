package ldap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport/sallyport/internal/model"
)

// entry is one of the server's.
type entry struct {
	dn         string
	attributes map[string][]string
}

// server is a directory of a few entries. Filters are compared as texts, so that a
// test sees exactly what was asked.
type server struct {
	t    testing.TB
	l    net.Listener
	tls  *tls.Config
	ca   string
	wrap bool // TLS from the first byte

	mu        sync.Mutex
	passwords map[string]string  // by DN
	codes     map[string]uint16  // of binds, by DN
	controls  map[string]string  // OID that goes with a bind's answer, by DN
	answers   map[string][]entry // by filter
	searched  []string
	bound     []string // DN of each bind
	opened    int
	codeOf    func(filter string) uint16
	stall     bool
	inject    []byte // sent in the clear behind the answer to StartTLS
	conns     map[net.Conn]bool
	most      int // connections open at once
	slow      time.Duration
}

func newServer(t testing.TB, wrap bool) *server {
	t.Helper()
	s := &server{t: t, wrap: wrap, passwords: map[string]string{}, codes: map[string]uint16{}, controls: map[string]string{},
		answers: map[string][]entry{}, conns: map[net.Conn]bool{}}
	s.tls, s.ca = certificate(t, "localhost")
	s.listen("127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *server) listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.l = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
}

func (s *server) stop() {
	_ = s.l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) address() string { return s.l.Addr().String() }

func (s *server) port() string { _, p, _ := net.SplitHostPort(s.address()); return p }

// provider is one that asks this server.
func (s *server) provider() *model.IdentityProvider {
	p := &model.IdentityProvider{Name: "directory", Type: model.ProviderLDAP, Enabled: true, CA: s.ca,
		URL: "ldap://localhost:" + s.port(), StartTLS: true, BindDN: "cn=gw", BindPassword: "gw", UserBase: "ou=people"}
	if s.wrap {
		p.URL, p.StartTLS = "ldaps://localhost:"+s.port(), false
	}
	return p
}

func (s *server) user(name, password string, more map[string][]string) string {
	dn := "uid=" + ldap.EscapeDN(name) + ",ou=people"
	a := map[string][]string{"uid": {name}}
	for k, v := range more {
		a[k] = v
	}
	s.set(func() {
		s.passwords[dn] = password
		s.answers["(uid="+ldap.EscapeFilter(name)+")"] = []entry{{dn, a}}
	})
	return dn
}

func (s *server) serve(c net.Conn) {
	s.mu.Lock()
	s.opened++
	s.conns[c] = true
	s.most = max(s.most, len(s.conns))
	s.mu.Unlock()
	raw := c
	defer func() {
		_ = raw.Close()
		s.set(func() { delete(s.conns, raw) })
	}()
	if s.wrap {
		c = tls.Server(raw, s.tls)
	}
	for {
		p, err := ber.ReadPacket(c)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, op := p.Children[0].Value.(int64), p.Children[1]
		s.mu.Lock()
		stall, slow := s.stall, s.slow
		s.mu.Unlock()
		if stall {
			continue
		}
		time.Sleep(slow)
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			s.bind(c, id, op.Children[1].Value.(string), op.Children[2].Data.String())
		case ldap.ApplicationSearchRequest:
			s.search(c, id, op)
		case ldap.ApplicationExtendedRequest:
			s.mu.Lock()
			inject := s.inject
			s.mu.Unlock()
			_, _ = c.Write(append(result(id, ldap.ApplicationExtendedResponse, 0).Bytes(), inject...))
			c = tls.Server(raw, s.tls)
		default:
			return
		}
	}
}

func (s *server) bind(c net.Conn, id int64, dn, password string) {
	s.mu.Lock()
	s.bound = append(s.bound, dn)
	code, told := s.codes[dn]
	if want := s.passwords[dn]; !told && dn != "cn=gw" && (want == "" || want != password) {
		code = ldap.LDAPResultInvalidCredentials
	}
	p := result(id, ldap.ApplicationBindResponse, code)
	if oid := s.controls[dn]; oid != "" {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		one := ber.NewSequence("")
		one.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, oid, ""))
		one.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "0", ""))
		list.AppendChild(one)
		p.AppendChild(list)
	}
	s.mu.Unlock()
	_, _ = c.Write(p.Bytes())
}

func (s *server) search(c net.Conn, id int64, op *ber.Packet) {
	filter, err := ldap.DecompileFilter(op.Children[6])
	if err != nil {
		return
	}
	s.mu.Lock()
	s.searched = append(s.searched, filter)
	found, code := s.answers[filter], uint16(0)
	if list, ok := strings.CutPrefix(filter, "(|"); ok && found == nil { // one question about several members
		for _, f := range strings.SplitAfter(strings.TrimSuffix(list, ")"), ")") {
			found = append(found, s.answers["(|"+f+")"]...)
		}
	}
	if s.codeOf != nil {
		code = s.codeOf(filter)
	}
	s.mu.Unlock()
	var out []byte
	for _, e := range found {
		p := message(id)
		res := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
		res.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, e.dn, ""))
		list := ber.NewSequence("")
		for name, values := range e.attributes {
			a, set := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			a.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, name, ""))
			for _, v := range values {
				set.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, v, ""))
			}
			a.AppendChild(set)
			list.AppendChild(a)
		}
		res.AppendChild(list)
		p.AppendChild(res)
		out = append(out, p.Bytes()...)
	}
	_, _ = c.Write(append(out, result(id, ldap.ApplicationSearchResultDone, code).Bytes()...))
}

func message(id int64) *ber.Packet {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	return p
}

func result(id int64, tag ber.Tag, code uint16) *ber.Packet {
	p, r := message(id), ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	r.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	r.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	p.AppendChild(r)
	return p
}

func certificate(t testing.TB, name string) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, b.String()
}
