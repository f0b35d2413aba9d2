package authn

import (
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Presence says how a credential stands in a request.
type Presence uint8

// The ways in which it can.
const (
	Absent Presence = iota
	Present
	Differing // given more than once, and not alike
	Malformed
)

// PresenceDetail says for audit what is wrong with a Presence.
func PresenceDetail(p Presence) string {
	switch p {
	case Differing:
		return "two different credentials of one kind in one request"
	case Malformed:
		return "the credential is not well-formed"
	}
	return ""
}

// Authorization finds the credentials of a scheme among the Authorization fields,
// whose schemes are compared without regard to case (RFC 9110, 11.4). Fields of
// other schemes are other methods' business.
//
// All that follows the scheme is the credential. No method's credential may hold a
// comma or a space, so that a list of several in one field, of which different
// readers would take different parts, is refused by each.
func Authorization(r *model.Request, scheme string) (credentials string, found Presence) {
	for i := range r.Fields {
		f := &r.Fields[i]
		if !model.EqualFold(f.Name, "Authorization") {
			continue
		}
		value, ok := cutScheme(f.Value, scheme)
		switch {
		case !ok:
		case value == "":
			return "", Malformed
		case found == Absent:
			credentials, found = value, Present
		case value != credentials:
			return "", Differing
		}
	}
	return credentials, found
}

// Header finds a credential that stands in a field of its own, as it was sent. The
// name is compared as it is spelled but for case; aliases are never looked at.
func Header(r *model.Request, name string) (value string, found Presence) {
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case !model.EqualFold(f.Name, name):
		case found == Absent:
			value, found = f.Value, Present
		case value != f.Value:
			return "", Differing
		}
	}
	return value, found
}

// cutScheme takes the scheme off; ok is false for another scheme.
func cutScheme(v, scheme string) (rest string, ok bool) {
	v = strings.TrimLeft(v, " \t")
	if len(v) < len(scheme) || !model.EqualFold(v[:len(scheme)], scheme) {
		return "", false
	}
	rest = v[len(scheme):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' && rest[0] != ',' {
		return "", false // a longer word
	}
	return strings.Trim(rest, " \t"), true
}
