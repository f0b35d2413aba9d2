package provision

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/strict"
)

// collection says what a kind's objects are made of.
type collection struct {
	kind      string
	fresh     func() any                // a new value of the type, defaults set
	name      func(value any) *string   // where the value has its name; nil for single objects
	secrets   func(value any) []*string // what is masked
	singleton bool                      // there is always one; what is not stored is the default
}

type defaulting[T any] interface {
	*T
	Defaults()
}

func fresh[T any, P defaulting[T]]() any {
	v := new(T)
	P(v).Defaults()
	return v
}

func bare[T any]() any { return new(T) }

// The names of single objects among settings.
const (
	reverseProxyAuthentication = "reverseProxyAuthentication"
	identityHeaders            = "identityHeaders"
	sessions                   = "sessions"
	pages                      = "pages"
	expectations               = "expect"
)

func collectionOf(kind, name string) (collection, bool) {
	c := collection{kind: kind}
	switch kind {
	case store.KindServices:
		c.fresh = fresh[model.Service]
		c.name = func(v any) *string { return &v.(*model.Service).Name }
		c.secrets = func(v any) []*string { s := v.(*model.Service); return []*string{&s.Present.Value, &s.TLS.Key} }
	case store.KindRoutes:
		c.fresh = fresh[model.Route]
		c.name = func(v any) *string { return &v.(*model.Route).Name }
	case store.KindRoles:
		c.fresh = bare[model.Role]
		c.name = func(v any) *string { return &v.(*model.Role).Name }
	case store.KindGroups:
		c.fresh = bare[model.Group]
		c.name = func(v any) *string { return &v.(*model.Group).Name }
	case store.KindIdentityProviders:
		c.fresh = fresh[model.IdentityProvider]
		c.name = func(v any) *string { return &v.(*model.IdentityProvider).Name }
		c.secrets = func(v any) []*string {
			p := v.(*model.IdentityProvider)
			return []*string{&p.Secret, &p.ClientSecret, &p.BindPassword}
		}
	case store.KindAdministrators:
		c.fresh = fresh[model.Administrator]
		c.name = func(v any) *string { return &v.(*model.Administrator).Name }
	case store.KindSettings:
		c.singleton = true
		switch name {
		case reverseProxyAuthentication:
			c.fresh = fresh[model.ReverseProxyAuthentication]
		case identityHeaders:
			c.fresh = fresh[model.IdentityHeaders]
		case sessions:
			c.fresh = fresh[model.Sessions]
		case pages:
			c.fresh = bare[model.Pages]
		}
	case store.KindExpect:
		c.singleton = true
		if name == expectations {
			c.fresh = bare[[]model.Expectation]
		}
	}
	return c, c.fresh != nil
}

// configKinds are the collections of configuration in the order in which a
// document is applied and exported.
func configKinds() []string {
	return []string{store.KindServices, store.KindRoutes, store.KindRoles, store.KindGroups, store.KindIdentityProviders}
}

// read gives a stored body as the kind's type.
func (c collection) read(body []byte) (any, error) {
	v := c.fresh()
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("reading a stored object of %s: %w", c.kind, err)
	}
	settle(v)
	return v, nil
}

// settle brings what v points to into its normal form.
func settle(v any) {
	e := reflect.ValueOf(v).Elem()
	if e.Kind() == reflect.Slice && e.IsNil() {
		e.Set(reflect.MakeSlice(e.Type(), 0, 0))
	}
	normal(e)
}

// clone copies a value that a caller goes on owning, and refuses one of another type.
func (c collection) clone(value any) (any, error) {
	v := c.fresh()
	if reflect.TypeOf(value) != reflect.TypeOf(v) {
		return nil, &model.Error{Code: model.Internal, Message: "The gateway met an unexpected fault.",
			Err: fmt.Errorf("a value of %s is %T, not %T", c.kind, value, v)}
	}
	body, err := json.Marshal(value)
	if err != nil {
		return nil, model.AsError(fmt.Errorf("copying a value of %s: %w", c.kind, err))
	}
	reflect.ValueOf(v).Elem().SetZero() // every field is in body, or empty
	if err := json.Unmarshal(body, v); err != nil {
		return nil, model.AsError(fmt.Errorf("copying a value of %s: %w", c.kind, err))
	}
	settle(v)
	if a, ok := value.(*model.Administrator); ok && a.Credentials != nil && len(a.Credentials) == 0 {
		v.(*model.Administrator).Credentials = []model.Credential{} // an empty list takes them away; JSON omits it
	}
	return v, nil
}

// normal gives left-out lists and tables their one form, empty, so that equal
// objects are equal bytes and no client meets null where a list belongs. What is
// omitted when empty keeps nil, which for a user's credentials has a meaning.
func normal(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			normal(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			normal(v.Index(i))
		}
	case reflect.Struct:
		t := v.Type()
		if t.PkgPath() == "time" {
			return
		}
		for i := range t.NumField() {
			f := v.Field(i)
			if nilable := f.Kind() == reflect.Slice || f.Kind() == reflect.Map; nilable && f.IsNil() && !strings.Contains(t.Field(i).Tag.Get("json"), ",omit") {
				if f.Kind() == reflect.Slice {
					f.Set(reflect.MakeSlice(f.Type(), 0, 0))
				} else {
					f.Set(reflect.MakeMap(f.Type()))
				}
			}
			normal(f)
		}
	}
}

// Decode reads a body as the kind's type. For settings, kind is
// "settings/" and the part's name.
func (s *Service) Decode(kind string, body []byte) (any, error) {
	var v any
	switch kind {
	case KindUsers:
		v = new(model.User)
	case KindCredentials:
		v = new(model.Credential)
	case KindDocument:
		v = new(model.Document)
	case store.KindExpect:
		v = new([]model.Expectation)
	default:
		base, name, _ := strings.Cut(kind, "/")
		c, ok := collectionOf(base, name)
		if !ok {
			return nil, notFound("the collections", kind)
		}
		v = c.fresh()
	}
	n, faults := strict.JSON(body)
	if n == nil {
		return nil, model.NewError(model.RequestMalformed, "The body is not JSON: "+faults.Error()+".")
	}
	faults = append(faults, n.Into(v)...)
	for _, r := range n.References() {
		faults.Add(r.Path, "holds ${"+r.Kind+":…}, which is resolved in files and by the command line, never here; send the value itself")
	}
	if len(faults) > 0 {
		return nil, &model.Error{Code: model.Invalid, Message: "The body does not have the shape of this resource.", Faults: faults}
	}
	return v, nil
}
