package ldap

import (
	"encoding/hex"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport/sallyport/internal/model"
)

// Bounds of what is kept of an entry.
const (
	mostAttributes = 200
	mostValues     = 1000
	longestValue   = 4 << 10
	mostText       = 256 << 10 // of all values together
)

// claimsOf is what a directory says of a user, as claims: each attribute by its
// name, one value as a text and several as a list; the entry's name as dn; and the
// username, as it is kept there, as preferred_username. The error is errMany where
// values of what gives groups or roles would be left out.
func claimsOf(p *model.IdentityProvider, e *ldap.Entry, typed string) (map[string]any, error) {
	claims := map[string]any{}
	text := 0
	for _, a := range e.Attributes {
		// Active Directory tells long lists in pieces ([MS-ADTS] 3.1.1.3.1.3.3).
		if of, _, piece := strings.Cut(strings.ToLower(a.Name), ";range="); piece && givesRights(&p.Mapping, of) {
			return nil, errMany
		}
		if !tellable(a.Name) {
			continue
		}
		if len(claims) >= mostAttributes || len(a.Values) > mostValues {
			if givesRights(&p.Mapping, a.Name) {
				return nil, errMany
			}
			continue
		}
		if strings.EqualFold(a.Name, "objectGUID") {
			if id := guid(a.ByteValues); id != "" {
				claims[a.Name] = id
			}
			continue
		}
		var list []any
		for _, v := range a.Values {
			if utf8.ValidString(v) && len(v) <= longestValue && text+len(v) <= mostText {
				list = append(list, v)
				text += len(v)
			} else if givesRights(&p.Mapping, a.Name) {
				return nil, errMany
			}
		}
		switch len(list) {
		case 0:
		case 1:
			claims[a.Name] = list[0]
		default:
			claims[a.Name] = list
		}
	}
	respell(claims, &p.Mapping)
	// What follows is ours to say, whatever attributes there are of such names.
	for _, name := range []string{"sub", "dn", "preferred_username"} {
		for have := range claims {
			if strings.EqualFold(have, name) {
				delete(claims, have)
			}
		}
	}
	if p.GroupBase != "" {
		delete(claims, "groups")
	}
	claims["dn"] = e.DN
	claims["preferred_username"] = username(p, e, typed)
	return claims, nil
}

// givesRights says whether a mapping makes groups or roles of an attribute.
func givesRights(m *model.Mapping, attribute string) bool {
	speaks := func(of string) bool {
		if strings.HasPrefix(of, "=") {
			return strings.Contains(strings.ToLower(of), strings.ToLower(attribute))
		}
		return strings.EqualFold(of, attribute)
	}
	return speaks(m.Groups) || speaks(m.Roles)
}

// username is the name as the directory keeps it. What was typed only found it:
// directories compare loosely (case, spaces, sometimes accents), and a filter may
// find a user by other attributes too. Where the filter does not show which
// attribute is the name, what was typed stands.
func username(p *model.IdentityProvider, e *ldap.Entry, typed string) string {
	attribute := nameAttribute(userFilter(p))
	if attribute == "" {
		return typed
	}
	values := e.GetEqualFoldAttributeValues(attribute)
	for _, v := range values {
		if model.FoldUsername(v) == model.FoldUsername(typed) {
			return v
		}
	}
	if len(values) > 0 {
		return values[0]
	}
	return typed
}

// tellable keeps passwords in every form out of what is remembered, and pieces of
// attributes, which would be taken for the whole.
func tellable(name string) bool {
	n := strings.ToLower(name)
	for _, no := range []string{"password", "pwd", "secret", "pkcs", "krbprincipalkey", ";range=", ";binary"} {
		if strings.Contains(n, no) {
			return false
		}
	}
	return true
}

// respell makes attributes known under the names that the mapping gives them:
// theirs are the same in any case (RFC 4512, 2.5), claims' are not.
func respell(claims map[string]any, m *model.Mapping) {
	want := []string{m.Username, m.Email, m.DisplayName, m.Groups, m.Roles}
	for _, path := range m.Attributes {
		want = append(want, path)
	}
	for _, w := range want {
		if _, there := claims[w]; there || w == "" || w[0] == '=' {
			continue
		}
		for name, v := range claims {
			if strings.EqualFold(name, w) {
				claims[w] = v
				break
			}
		}
	}
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// subjectOf is the id by which a user is linked: one that outlives a rename, where
// the directory has one, else the entry's name.
func subjectOf(e *ldap.Entry) (string, error) {
	if v := e.GetEqualFoldAttributeValues("entryUUID"); len(v) == 1 && uuid.MatchString(v[0]) {
		return strings.ToLower(v[0]), nil
	}
	if id := guid(e.GetEqualFoldRawAttributeValues("objectGUID")); id != "" {
		return id, nil
	}
	if v := e.GetEqualFoldAttributeValues("nsUniqueId"); len(v) == 1 && len(v[0]) >= 16 {
		return strings.ToLower(v[0]), nil
	}
	return normal(e.DN)
}

// guid is the text form of an objectGUID, whose first three parts are little-endian
// ([MS-DTYP] 2.3.4); "" where it is none.
func guid(values [][]byte) string {
	if len(values) != 1 || len(values[0]) != 16 {
		return ""
	}
	b := values[0]
	h := hex.EncodeToString([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]})
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
