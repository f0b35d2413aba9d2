package authz

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/sallyport/sallyport/internal/model"
)

type refVal = ref.Val

// The types of the variables. Fields are declared, so that a misspelt one is a
// fault when the configuration is checked and not a surprise at night.
var (
	requestType    = cel.ObjectType("Request")
	userType       = cel.ObjectType("User")
	credentialType = cel.ObjectType("Credential")
)

// activation resolves names against Facts when an expression asks for them.
type activation struct {
	policy                            *Policy
	facts                             *Facts
	request, user, client, credential view
	headers                           headers
}

func newActivation() *activation {
	a := &activation{}
	a.request = view{kind: requestType, a: a}
	a.user = view{kind: userType, a: a}
	a.client = view{kind: userType, a: a}
	a.credential = view{kind: credentialType, a: a}
	a.headers.a = a
	return a
}

// Parent is nil: there is nothing behind the facts.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName finds a variable; nobody is null.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "request":
		return &a.request, true
	case "user":
		if a.facts.User == nil {
			return types.NullValue, true
		}
		return &a.user, true
	case "client":
		if a.facts.Client == nil {
			return types.NullValue, true
		}
		return &a.client, true
	case "credential":
		return &a.credential, true
	case "claims":
		return orEmpty(a.facts.Claims), true
	case "request.tls.version":
		if t := a.facts.Request.TLS; t != nil {
			return tlsVersion(t.Version), true
		}
	case "request.tls.serverName":
		if t := a.facts.Request.TLS; t != nil {
			return t.ServerName, true
		}
	}
	return nil, false
}

// view is one variable as CEL sees it: a reference to the facts, never a copy.
type view struct {
	kind *types.Type
	a    *activation
}

// Value is what fields are read from.
func (v *view) Value() any { return v }

// Type is the declared type.
func (v *view) Type() ref.Type { return v.kind }

// Equal compares what is referred to, so that user == client answers.
func (v *view) Equal(other ref.Val) ref.Val {
	o, ok := other.(*view)
	return types.Bool(ok && o.kind == v.kind && (o == v || v.kind == userType && v.subject() == o.subject()))
}

// ConvertToType serves type(x) alone.
func (v *view) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return v.kind
	}
	return types.NewErr("%s does not convert to %s", v.kind.TypeName(), t.TypeName())
}

// ConvertToNative is not offered: expressions end in a bool.
func (v *view) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s does not convert to %v", v.kind.TypeName(), t)
}

// Get serves dyn(user).username and the like.
func (v *view) Get(index ref.Val) ref.Val {
	name, _ := index.Value().(string)
	f, ok := fields[v.kind.TypeName()][name]
	if !ok {
		return types.NewErr("no such field: %s", name)
	}
	value, err := f.get(v)
	if err != nil {
		return types.WrapErr(err)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// subject is the user that the view speaks of.
func (v *view) subject() *model.User {
	if v == &v.a.client {
		return v.a.facts.Client
	}
	return v.a.facts.User
}

func (v *view) groups() []string {
	if v != &v.a.client {
		return v.a.facts.Groups
	}
	return v.a.policy.Subject(v.a.facts.Client, nil, nil, false).Groups()
}

func (v *view) roles() []string {
	if v != &v.a.client {
		return v.a.facts.Roles
	}
	return v.a.policy.Subject(v.a.facts.Client, nil, nil, false).Roles()
}

func (v *view) attributes() map[string]any {
	if v != &v.a.client {
		return v.a.facts.Attributes
	}
	return v.a.facts.Client.Attributes
}

var (
	errUnknownAge = errors.New("credential.age is unknown")
	errUnknownIP  = errors.New("request.ip is unknown")
)

type field struct {
	of  *cel.Type
	get func(*view) (any, error)
}

// fields are all there is to select, by type and name.
var fields = map[string]map[string]field{
	"Request": {
		"method":  {cel.StringType, func(v *view) (any, error) { return v.a.facts.Request.Method, nil }},
		"path":    {cel.StringType, func(v *view) (any, error) { return v.a.facts.Path, nil }},
		"host":    {cel.StringType, func(v *view) (any, error) { return v.a.facts.Host, nil }},
		"ip":      {cel.StringType, requestIP},
		"headers": {cel.MapType(cel.StringType, cel.StringType), func(v *view) (any, error) { return &v.a.headers, nil }},
		"time":    {cel.TimestampType, func(v *view) (any, error) { return v.a.facts.Request.Time, nil }},
		"tls":     {cel.BoolType, func(v *view) (any, error) { return v.a.facts.Request.TLS != nil, nil }},
	},
	"User": {
		"id":          {cel.StringType, func(v *view) (any, error) { return v.subject().ID, nil }},
		"username":    {cel.StringType, func(v *view) (any, error) { return v.subject().Username, nil }},
		"kind":        {cel.StringType, func(v *view) (any, error) { return string(v.subject().Kind), nil }},
		"displayName": {cel.StringType, func(v *view) (any, error) { return v.subject().DisplayName, nil }},
		"email":       {cel.StringType, userEmail},
		"groups":      {cel.ListType(cel.StringType), func(v *view) (any, error) { return v.groups(), nil }},
		"roles":       {cel.ListType(cel.StringType), func(v *view) (any, error) { return v.roles(), nil }},
		"attributes":  {cel.MapType(cel.StringType, cel.DynType), func(v *view) (any, error) { return orEmpty(v.attributes()), nil }},
	},
	"Credential": {
		"type":   {cel.StringType, func(v *view) (any, error) { return v.a.facts.Credential.Type, nil }},
		"scopes": {cel.ListType(cel.StringType), func(v *view) (any, error) { return v.a.facts.Credential.Scopes, nil }},
		"age":    {cel.DurationType, credentialAge},
	},
}

// requestIP is text, for that is what people compare; cidr(…).containsIP takes
// it as it is. An unknown address is an error: as a text it would be in no
// network, and a condition such as "not in 10.9.0.0/16" would hold.
func requestIP(v *view) (any, error) {
	ip := v.a.facts.ClientIP
	if !ip.IsValid() {
		return nil, errUnknownIP
	}
	return ip.Unmap().WithZone("").String(), nil
}

func userEmail(v *view) (any, error) {
	if e := v.subject().Emails; len(e) > 0 {
		return e[0], nil
	}
	return "", nil
}

func credentialAge(v *view) (any, error) {
	issued := v.a.facts.Credential.Issued
	if issued.IsZero() {
		return nil, errUnknownAge
	}
	return max(v.a.facts.Request.Time.Sub(issued), time.Duration(0)), nil
}

func tlsVersion(v uint16) string {
	if v < 0x0301 || v > 0x0304 {
		return "unknown"
	}
	return "1." + string(rune('0'+v-0x0301))
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// provider adds the declared types to CEL's own.
type provider struct{ types.Provider }

// FindStructType finds a declared type.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := fields[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames lists a declared type's fields.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	fs, ok := fields[name]
	if !ok {
		return p.Provider.FindStructFieldNames(name)
	}
	names := make([]string, 0, len(fs))
	for n := range fs {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, true
}

// FindStructFieldType finds how a field is read.
func (p *provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	fs, ok := fields[name]
	if !ok {
		return p.Provider.FindStructFieldType(name, fieldName)
	}
	f, ok := fs[fieldName]
	if !ok {
		return nil, false
	}
	get := func(target any) (any, error) {
		v, ok := target.(*view)
		if !ok {
			return nil, errNobody
		}
		return f.get(v)
	}
	return &types.FieldType{Type: f.of, GetFrom: get, IsSet: func(target any) bool {
		value, err := get(target)
		return err == nil && value != ""
	}}, true
}

var errNobody = errors.New("there is nobody here: the variable is null")
