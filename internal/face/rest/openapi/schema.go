package openapi

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// schemas makes JSON Schemas of Go types by their json tags, named ones once each.
type schemas struct {
	named object
	seen  map[reflect.Type]string
}

var (
	anyText = object{"type": "string"}
	moment  = object{"type": "string", "format": "date-time"}
)

// special are types whose JSON is not what their Go kind suggests, or narrower.
func special(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return moment
	case reflect.TypeFor[model.Duration]():
		return object{"type": "string", "pattern": `^(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`, "examples": []any{"500ms", "30s", "15m"}}
	case reflect.TypeFor[model.Size]():
		return object{"type": []any{"string", "integer"}, "examples": []any{"32KiB", "10MiB"}}
	case reflect.TypeFor[model.Requirement]():
		many := object{"type": "array", "minItems": 1, "items": ref("Requirement")}
		return object{"oneOf": []any{
			object{"type": "string", "description": "A method, or method@provider.", "examples": []any{"basic", "bearer@tokens"}},
			object{"type": "object", "properties": object{"anyOf": many, "allOf": many}, "minProperties": 1, "maxProperties": 1, "additionalProperties": false}}}
	case reflect.TypeFor[model.PathMode]():
		return enum(model.PathCanonical, model.PathVerbatim)
	case reflect.TypeFor[model.Access]():
		return enum(model.AccessPermitted, model.AccessAuthenticated, model.AccessOptional, model.AccessPublic)
	case reflect.TypeFor[model.Mode]():
		return enum(model.Enforce, model.Report)
	case reflect.TypeFor[model.Kind]():
		return enum(model.Person, model.Application, model.ServiceUser)
	case reflect.TypeFor[model.CredentialType]():
		return enum(model.Password, model.APIKey, model.Certificate, model.PublicKey, model.Link, model.AdminToken)
	case reflect.TypeFor[model.AdminRole]():
		return enum(model.AdminAll, model.AdminOperator, model.AdminProvisioner, model.AdminAuditor)
	case reflect.TypeFor[model.Balance]():
		return enum(model.LeastRequests, model.RoundRobin, model.HashBalance)
	case reflect.TypeFor[model.Protocol]():
		return enum(model.ProtocolAuto, model.HTTP1, model.HTTP2)
	case reflect.TypeFor[model.HostMode]():
		return enum(model.HostPreserve, model.HostTarget)
	case reflect.TypeFor[model.CallerMode]():
		return enum(model.CallerStrip, model.CallerForward)
	case reflect.TypeFor[model.ProviderType]():
		return enum(model.ProviderOIDC, model.ProviderJWT, model.ProviderIntrospection, model.ProviderSAML, model.ProviderLDAP, model.ProviderTrustedHeader)
	case reflect.TypeFor[model.Provision]():
		return enum(model.ProvisionJIT, model.ProvisionMatch, model.ProvisionOff)
	case reflect.TypeFor[model.EventType]():
		return enum(model.EventAccess, model.EventLogin, model.EventAdmin, model.EventProvisioning, model.EventSecurity)
	}
	return nil
}

func enum[T ~string](values ...T) object {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return object{"type": "string", "enum": list}
}

// marks are what the struct tags do not say of a field, by type and field.
var marks = map[string]object{
	"User.id": {"readOnly": true}, "User.origin": {"readOnly": true}, "User.createdAt": {"readOnly": true}, "User.updatedAt": {"readOnly": true},
	"Administrator.createdAt": {"readOnly": true}, "Administrator.updatedAt": {"readOnly": true},
	"Credential.id": {"readOnly": true}, "Credential.createdAt": {"readOnly": true}, "Credential.lastUsedAt": {"readOnly": true}, "Credential.given": {"readOnly": true},
	"Credential.prefix": {"readOnly": true}, "Credential.declared": {"readOnly": true},
	"Credential.secret":       {"readOnly": true, "description": "In the answer to creation alone."},
	"Credential.password":     {"writeOnly": true, "description": "Hashed on arrival, never shown."},
	"User.credentials":        {"description": "Left out, they stay as they are."},
	"Permission.when":         {"description": "A CEL condition."},
	"Rule.require":            {"description": "A CEL condition; refuses unless it is true."},
	"Rule.deny":               {"description": "A CEL condition; refuses if it is true."},
	"Route.paths":             {"description": "A prefix /x, an exact path =/x, or an anchored regular expression ~^/x$."},
	"Route.authenticate":      {"description": "Left out, every configured method."},
	"ExplainRequest.user":     {"description": "Whom the request is taken to be authenticated as; left out, the credentials in headers are judged."},
	"Expectation.then":        {"description": "A code of the gateway's answers, or allowed."},
	"IdentityProvider.secret": {"description": "Masked when shown; a mask keeps the stored value."},
	"Present.value":           {"description": "Masked when shown; a mask keeps the stored value."},
	"ServiceTLS.key":          {"description": "Masked when shown; a mask keeps the stored value."},
}

func (s *schemas) of(t reflect.Type) object {
	if t.Kind() == reflect.Pointer {
		o := s.of(t.Elem())
		if kind, ok := o["type"].(string); ok {
			return with(o, object{"type": []any{kind, "null"}})
		}
		return object{"oneOf": []any{o, object{"type": "null"}}}
	}
	if name := schemaName(t); name != "" {
		if _, ok := s.seen[t]; !ok {
			s.seen[t] = name
			s.named[name] = object{} // holds the place while the type may name itself
			if o := special(t); o != nil {
				s.named[name] = o
			} else {
				s.named[name] = s.structure(t)
			}
		}
		return ref(name)
	}
	if o := special(t); o != nil {
		return o
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.structure(t)
	case reflect.String:
		return anyText
	}
	return object{} // anything
}

// schemaName is under what a type stands among the components; "" = in place. Of
// the generic page, the brackets and the item's package fall away.
func schemaName(t reflect.Type) string {
	if t == reflect.TypeFor[model.Requirement]() {
		return "Requirement"
	}
	if t.Kind() != reflect.Struct || special(t) != nil || t.Name() == "" {
		return ""
	}
	name, of, generic := strings.Cut(t.Name(), "[")
	if generic {
		of = strings.TrimSuffix(of, "]")
		return of[strings.LastIndexByte(of, '.')+1:] + capital(name)
	}
	return capital(name)
}

func (s *schemas) structure(t reflect.Type) object {
	defaults := defaultsOf(t)
	properties := object{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		p := s.of(f.Type)
		if v, ok := defaults[name]; ok {
			p = with(p, object{"default": v})
		}
		if m := marks[t.Name()+"."+name]; m != nil {
			p = with(p, m)
		}
		properties[name] = p
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

// defaultsOf are the scalars that a type's Defaults sets.
func defaultsOf(t reflect.Type) object {
	v := reflect.New(t)
	d, ok := v.Interface().(interface{ Defaults() })
	if !ok {
		return nil
	}
	d.Defaults()
	out := object{}
	for i := range t.NumField() {
		f := v.Elem().Field(i)
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		switch _, text := f.Interface().(encoding.TextMarshaler); {
		case name == "" || name == "-" || f.IsZero() && f.Kind() != reflect.Bool:
		case text, f.Kind() == reflect.Bool, f.Kind() == reflect.String, f.Kind() == reflect.Int:
			if b, err := json.Marshal(f.Interface()); err == nil {
				out[name] = json.RawMessage(b)
			}
		}
	}
	return out
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
