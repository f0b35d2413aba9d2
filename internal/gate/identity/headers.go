package identity

import (
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/model"
)

// Headers are the names under which the backend is told, as the settings have
// them; "" = not sent.
type Headers struct {
	username, id, email, groups, roles, method, client string
}

// Compile reads the names from the settings, which have been validated.
func Compile(s *model.Settings, _ []model.Service) *Headers {
	h := &s.IdentityHeaders
	return &Headers{username: s.ReverseProxyAuthentication.UsernameHeader, id: h.ID, email: h.Email,
		groups: h.Groups, roles: h.Roles, method: h.Method, client: h.Client}
}

// Values are what the backends are told of one proven caller, ready to append.
// They are immutable but for the assertions they remember, and may be shared by
// all requests with the same credential.
type Values struct {
	fields []model.Field

	subject, username, client string
	groups, roles             []string

	tokens  atomic.Pointer[[]token] // the latest few assertions, by service
	minting sync.Mutex
}

// Values makes the fields of a caller: groups and roles are the effective ones,
// and client is the application that acts for a person, or nil. A field without
// a value is left out whole: the client's own of that name has been stripped,
// and nothing takes its place (CVE-2026-30851).
func (h *Headers) Values(u *model.User, groups, roles []string, method string, client *model.User) *Values {
	v := &Values{subject: u.ID, username: u.Username, groups: groups, roles: roles}
	v.fields = make([]model.Field, 0, 7)
	v.add(h.username, encode(u.Username))
	v.add(h.id, encode(u.ID))
	if len(u.Emails) > 0 {
		v.add(h.email, encode(u.Emails[0]))
	}
	v.add(h.groups, list(groups))
	v.add(h.roles, list(roles))
	v.add(h.method, encode(method))
	if client != nil {
		v.client = client.Username
		v.add(h.client, encode(client.Username))
	}
	return v
}

func (v *Values) add(name, value string) {
	if name != "" && value != "" {
		v.fields = append(v.fields, model.Field{Name: name, Value: value})
	}
}

// Append adds the fields to dst, in a fixed order.
func (h *Headers) Append(dst []model.Field, v *Values) []model.Field {
	return append(dst, v.fields...)
}
