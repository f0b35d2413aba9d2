package openapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Operation is one method of one path.
type Operation struct {
	Method, Path string // {name} in the path is a parameter
	ID, Summary  string
	Tag          string
	Query        []Parameter
	Takes        any               // a value of the body's type; nil = no body
	Gives        any               // a value of the answer's type; nil = no body
	Status       int               // of success
	Also         []int             // other statuses of success
	Roles        []model.AdminRole // who may call; nil = every administrator, as far as what is written lets them
	Large        bool              // takes very large bodies
	Open         bool              // needs no login
	Conditional  bool              // knows If-Match
}

// Parameter is one of the query.
type Parameter struct {
	Name, Text string
	Kind       ParameterKind
}

// ParameterKind is what a parameter's value may be.
type ParameterKind uint8

// The kinds of parameter.
const (
	Words ParameterKind = iota
	Flag                // true or false
	Count               // 1 to 1000
)

// DryRun is the parameter of every write: its answer has another form.
var DryRun = Parameter{Name: "dryRun", Text: "Answer with what would change, and change nothing.", Kind: Flag}

// Lookup finds a parameter by name; nil = there is none.
func Lookup(list []Parameter, name string) *Parameter {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// object is a JSON object of the document; maps are written in the order of
// their names, so that the same table gives the same bytes.
type object = map[string]any

// Document describes the operations in OpenAPI 3.1. The same table gives the same
// bytes.
func Document(ops []Operation, version string) []byte {
	s := &schemas{named: object{}, seen: map[reflect.Type]string{}}
	paths := object{}
	for i := range ops {
		op := &ops[i]
		at, ok := paths[op.Path].(object)
		if !ok {
			at = object{}
			if names := parameterNames(op.Path); len(names) > 0 {
				at["parameters"] = pathParameters(names)
			}
			paths[op.Path] = at
		}
		at[strings.ToLower(op.Method)] = s.operation(op)
	}
	if version == "" {
		version = "dev"
	}
	s.named["Problem"] = problemSchema()
	doc := object{
		"openapi": "3.1.0",
		"info": object{"title": "Sallyport admin API", "version": version, "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Provisions the users, roles, routes and services of a Sallyport gateway. Unknown fields and parameters are refused; a left-out field takes its default."},
		"security": []any{object{"password": []any{}}, object{"token": []any{}}, object{"certificate": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas": s.named,
			"securitySchemes": object{
				"password":    object{"type": "http", "scheme": "basic", "description": "An administrator's name and password."},
				"token":       object{"type": "http", "scheme": "bearer", "description": "An administrator's token, spa_…"},
				"certificate": object{"type": "mutualTLS", "description": "A client certificate that an administrator's credential names."},
			},
			"responses": object{"Problem": object{"description": "The request was refused (RFC 9457).",
				"content": object{"application/problem+json": object{"schema": ref("Problem")}}}},
		},
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil { // maps of texts and numbers: there is nothing to fail
		return []byte("{}")
	}
	return append(b, '\n')
}

func parameterNames(path string) (names []string) {
	for _, p := range strings.Split(path, "/") {
		if strings.HasPrefix(p, "{") {
			names = append(names, strings.Trim(p, "{}"))
		}
	}
	return names
}

func pathParameters(names []string) []any {
	var list []any
	for _, n := range names {
		list = append(list, object{"name": n, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	return list
}

func (s *schemas) operation(op *Operation) object {
	o := object{"operationId": op.ID, "summary": op.Summary, "tags": []any{op.Tag}}
	if op.Open {
		o["security"] = []any{}
	}
	if op.Roles != nil {
		names := make([]string, len(op.Roles))
		for i, r := range op.Roles {
			names[i] = string(r)
		}
		o["description"] = "Needs one of the roles " + strings.Join(names, ", ") + "."
	}
	if params := op.parameters(); len(params) > 0 {
		o["parameters"] = params
	}
	if op.Takes != nil {
		media := "application/json"
		if op.Method == http.MethodPatch {
			media = "application/merge-patch+json"
		}
		o["requestBody"] = object{"required": true, "content": object{media: object{"schema": s.of(reflect.TypeOf(op.Takes))}}}
	}
	o["responses"] = s.responses(op)
	return o
}

func (op *Operation) parameters() (list []any) {
	for _, p := range op.Query {
		schema := object{"type": "string"}
		switch p.Kind {
		case Flag:
			schema = object{"type": "boolean", "default": false}
		case Count:
			schema = object{"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
		}
		list = append(list, object{"name": p.Name, "in": "query", "description": p.Text, "schema": schema})
	}
	header := func(name, text string) {
		list = append(list, object{"name": name, "in": "header", "description": text, "schema": object{"type": "string"}})
	}
	if op.Conditional {
		header("If-Match", "Write only if the object's ETag is this one; else 412.")
	}
	if slices.Contains(op.Also, http.StatusNotModified) {
		header("If-None-Match", "Answer 304 if the object's ETag is this one.")
	}
	if op.Method != http.MethodGet && op.Tag != "explain" {
		header("X-Reason", "Why, for the revision and the audit event.")
	}
	return list
}

func (s *schemas) responses(op *Operation) object {
	out := object{}
	for _, status := range append([]int{op.Status}, op.Also...) {
		r := object{"description": http.StatusText(status)}
		if body := s.answer(op, status); body != nil {
			r["content"] = object{"application/json": object{"schema": body}}
		}
		if tagged(op) && status < 300 {
			r["headers"] = object{"ETag": object{"schema": object{"type": "string"}}}
		}
		out[strconv.Itoa(status)] = r
	}
	out["default"] = object{"$ref": "#/components/responses/Problem"}
	return out
}

// answer is the schema of a success; nil = no body. Where a write has dryRun, the
// difference is the other form of its 200.
func (s *schemas) answer(op *Operation, status int) object {
	dry := Lookup(op.Query, DryRun.Name) != nil && status == http.StatusOK
	switch {
	case status == http.StatusNoContent || status == http.StatusNotModified:
		return nil
	case dry && (op.Gives == nil || op.Status != http.StatusOK):
		return ref("Outcome")
	case dry && reflect.TypeOf(op.Gives).Name() != "Outcome":
		return object{"anyOf": []any{s.of(reflect.TypeOf(op.Gives)), ref("Outcome")}}
	case op.Gives == nil:
		return nil
	}
	return s.of(reflect.TypeOf(op.Gives))
}

func tagged(op *Operation) bool {
	if op.Gives == nil {
		return false
	}
	return op.Conditional || slices.Contains(op.Also, http.StatusNotModified)
}

func problemSchema() object {
	text := object{"type": "string"}
	return object{"type": "object", "required": []any{"type", "title", "status", "detail", "code", "requestId"}, "properties": object{
		"type": object{"type": "string", "format": "uri"}, "title": text, "status": object{"type": "integer"}, "detail": text,
		"code": object{"type": "string", "enum": codes()}, "requestId": text,
		"errors": object{"type": "array", "description": "One for each fault of a 422.", "items": object{"type": "object",
			"required": []any{"path", "message"}, "properties": object{"path": text, "message": text}}}}}
}

// codes are those that the admin API answers with.
func codes() []any {
	list := []any{}
	for _, c := range []model.Code{model.RequestMalformed, model.CredentialMissing, model.CredentialInvalid, model.CredentialExpired,
		model.PermissionDenied, model.OriginRefused, model.AddressRefused, model.NotFound, model.MethodNotAllowed, model.Conflict,
		model.PreconditionFailed, model.BodyTooLarge, model.UnsupportedMediaType, model.Invalid, model.LoginThrottled, model.Internal,
		model.IdentityUnavailable, model.ConfigurationUnavailable, model.AuditUnavailable, model.Overloaded} {
		list = append(list, c)
	}
	return list
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// with is a copy of o with more members.
func with(o, more object) object {
	o = maps.Clone(o)
	maps.Copy(o, more)
	return o
}
