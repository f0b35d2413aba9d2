package ldap

import (
	"errors"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport/sallyport/internal/model"
)

// The filters that left-out fields mean.
const (
	defaultUserFilter  = "(uid={username})"
	defaultGroupFilter = "(|(member={dn})(uniqueMember={dn})(memberUid={username}))"
)

func userFilter(p *model.IdentityProvider) string {
	if p.UserFilter != "" {
		return p.UserFilter
	}
	return defaultUserFilter
}

func groupFilter(p *model.IdentityProvider) string {
	if p.GroupFilter != "" {
		return p.GroupFilter
	}
	return defaultGroupFilter
}

// fill puts values into a filter, escaped (RFC 4515, 3): a username such as
// "*)(uid=*" is compared and never read. Both are put in at once, so that a
// username of "{dn}" is not filled in turn.
func fill(filter, username, dn string) string {
	return strings.NewReplacer("{username}", ldap.EscapeFilter(username), "{dn}", ldap.EscapeFilter(dn)).Replace(filter)
}

func filterFault(filter string) error {
	if _, err := ldap.CompileFilter(fill(filter, "alice", "uid=alice,dc=example,dc=com")); err != nil {
		return errors.New("is not a filter (RFC 4515), such as " + defaultUserFilter + ": " + err.Error())
	}
	return nil
}

var asName = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)=\{username\}\)`)

// nameAttribute is the attribute that holds the username: the one that the filter
// compares with it alone. "" where none is to be seen.
func nameAttribute(filter string) string {
	if m := asName.FindStringSubmatch(filter); m != nil {
		return m[1]
	}
	return ""
}

// inChain is the matching rule by which a directory follows groups of groups by
// itself ([MS-ADTS] 3.1.1.3.4.4.3).
const inChain = "1.2.840.113556.1.4.1941"

var asMember = regexp.MustCompile(`\((member|uniqueMember|memberOf)=\{dn\}\)`)

// chained has a group filter follow groups of groups; false where it compares no
// list of members.
func chained(filter string) (string, bool) {
	out := asMember.ReplaceAllString(filter, "(${1}:"+inChain+":={dn})")
	return out, out != filter
}

// normal is a distinguished name in one spelling of those that RFC 4514 allows.
// Values keep their case: whether it matters is the directory's to know.
func normal(dn string) (string, error) {
	d, err := ldap.ParseDN(dn)
	if err != nil {
		return "", err
	}
	return d.String(), nil
}
