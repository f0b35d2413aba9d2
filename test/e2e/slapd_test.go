//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	directoryRoot     = "dc=example,dc=com"
	directoryAdmin    = "cn=admin,dc=example,dc=com"
	directoryPassword = "directory-admin"
	searchDN          = "cn=gateway,dc=example,dc=com"
	searchPassword    = "search-password"
	oddName           = `O*Brian (ü), \ #1`
)

// slapd is a real OpenLDAP directory, with StartTLS on one port and TLS on another.
type slapd struct {
	*program
	t          testing.TB
	dir        string
	ca         *authority
	plain, tls int // ports on loopback
}

func newSlapd(t testing.TB) *slapd {
	t.Helper()
	s := &slapd{t: t, dir: t.TempDir(), ca: newAuthority(t), plain: freePort(t), tls: freePort(t)}
	cert, key := s.ca.server("directory", "localhost")
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "slapd.conf"), fmt.Sprintf(`
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile %[1]s/slapd.pid
argsfile %[1]s/slapd.args
TLSCACertificateFile %[2]s
TLSCertificateFile %[3]s
TLSCertificateKeyFile %[4]s
disallow bind_anon
database mdb
maxsize 33554432
suffix %[5]q
rootdn %[6]q
rootpw %[7]s
directory %[1]s/db
index objectClass,uid,member,memberUid eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=%[8]q read by anonymous auth by * none
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=com"
`, s.dir, s.ca.cert, cert, key, directoryRoot, directoryAdmin, directoryPassword, searchDN))
	ldif := write(t, filepath.Join(s.dir, "entries.ldif"), entries())
	if out, code := runProgram(t, 30*time.Second, nil, need(t, "slapadd"), "-f", s.conf(), "-l", ldif); code != 0 {
		t.Fatalf("slapadd: %s", out)
	}
	s.start()
	return s
}

func (s *slapd) conf() string { return filepath.Join(s.dir, "slapd.conf") }

func (s *slapd) start() {
	s.t.Helper()
	s.program = launch(s.t, s.dir, nil, need(s.t, "slapd"), "-f", s.conf(), "-d", "0",
		"-h", fmt.Sprintf("ldap://127.0.0.1:%d/ ldaps://127.0.0.1:%d/", s.plain, s.tls))
	s.listens(fmt.Sprintf("127.0.0.1:%d", s.plain))
	s.listens(fmt.Sprintf("127.0.0.1:%d", s.tls))
}

// change lets the directory's administrator change something.
func (s *slapd) change(do func(*ldap.Conn) error) {
	s.t.Helper()
	c, err := ldap.DialURL(fmt.Sprintf("ldap://127.0.0.1:%d", s.plain))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(directoryAdmin, directoryPassword); err != nil {
		s.t.Fatal(err)
	}
	if err := do(c); err != nil {
		s.t.Fatal(err)
	}
}

// provider is how an operator connects the gateway to it; more are further fields.
func (s *slapd) provider(more string) string {
	return fmt.Sprintf(`{name: directory, type: ldap, url: "ldap://localhost:%d", startTLS: true, ca: %q, bindDN: %q, bindPassword: %q,
  userBase: "ou=people,%s", groupBase: "ou=groups,%[5]s", mapping: {groups: groups, email: mail, displayName: cn}%s}`,
		s.plain, read(s.t, s.ca.cert), searchDN, searchPassword, directoryRoot, more)
}

func (s *slapd) overTLS(more string) string {
	return strings.Replace(s.provider(more), fmt.Sprintf(`url: "ldap://localhost:%d", startTLS: true`, s.plain), fmt.Sprintf(`url: "ldaps://localhost:%d"`, s.tls), 1)
}

// entries are the directory's content.
func entries() string {
	var b strings.Builder
	add := func(dn string, lines ...string) {
		fmt.Fprintf(&b, "dn:: %s\n%s\n\n", base64.StdEncoding.EncodeToString([]byte(dn)), strings.Join(lines, "\n"))
	}
	add(directoryRoot, "objectClass: dcObject", "objectClass: organization", "dc: example", "o: Example")
	for _, ou := range []string{"people", "groups"} {
		add("ou="+ou+","+directoryRoot, "objectClass: organizationalUnit", "ou: "+ou)
	}
	add("cn=policy,"+directoryRoot, "objectClass: organizationalRole", "objectClass: pwdPolicy", "cn: policy", "pwdAttribute: userPassword",
		"pwdLockout: TRUE", "pwdMaxFailure: 100", "pwdMustChange: TRUE")
	add(searchDN, "objectClass: organizationalRole", "objectClass: simpleSecurityObject", "cn: gateway", "userPassword: "+searchPassword)
	person := func(uid string, more ...string) string {
		dn := "uid=" + ldap.EscapeDN(uid) + ",ou=people," + directoryRoot
		text := func(name, v string) string { return name + ":: " + base64.StdEncoding.EncodeToString([]byte(v)) }
		add(dn, append([]string{"objectClass: inetOrgPerson", text("uid", uid), text("cn", "Name of "+uid), "sn: x",
			text("userPassword", uid+"s-password")}, more...)...)
		return dn
	}
	alice := person("alice", "mail: alice@example.com")
	person("bob")
	person("carol")
	person("dave")
	person("locked", "pwdAccountLockedTime: 000001010000Z")
	person("reset", "pwdReset: TRUE")
	odd := person(oddName)
	for i := range 60 {
		person(fmt.Sprintf("many%d", i))
	}
	group := func(cn string, members ...string) string {
		dn := "cn=" + cn + ",ou=groups," + directoryRoot
		lines := []string{"objectClass: groupOfNames", "cn: " + cn}
		for _, m := range members {
			lines = append(lines, "member:: "+base64.StdEncoding.EncodeToString([]byte(m)))
		}
		add(dn, lines...)
		return dn
	}
	staff := group("staff", alice, odd)
	all := group("writers", staff, "cn=circle,ou=groups,"+directoryRoot)
	group("circle", all)
	add("cn=unix,ou=groups,"+directoryRoot, "objectClass: posixGroup", "cn: unix", "gidNumber: 1000", "memberUid: carol")
	return b.String()
}
