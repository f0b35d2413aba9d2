package rest

import (
	"net/http"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/store"
)

// operation is a line of the mount table: what OpenAPI says of it, and what serves it.
type operation struct {
	openapi.Operation
	serve func(*call) error
}

func at(o openapi.Operation, serve func(*call) error) operation { return operation{o, serve} }

// describe is the OpenAPI document of the table.
func (h *Handler) describe() []byte {
	ops := make([]openapi.Operation, len(h.operations))
	for i := range ops {
		ops[i] = h.operations[i].Operation
	}
	return openapi.Document(ops, h.Version)
}

// The parameters that many operations know.
var (
	dryRun  = openapi.DryRun
	limited = openapi.Parameter{Name: "limit", Text: "How many items a page holds, 1 to 1000; 100 if left out.", Kind: openapi.Count}
	cursor  = openapi.Parameter{Name: "cursor", Text: "nextCursor of the page before."}
	filter  = openapi.Parameter{Name: "filter", Text: `Conditions such as kind eq "person" and active eq "true".`}
	sorted  = openapi.Parameter{Name: "sort", Text: "A field, with - in front for descending."}
)

// Who may read what tells of the gateway's own keys and owners, and who may ask
// for hypothetical decisions: a question evaluates conditions on facts of the
// asker's choice (authentik CVE-2026-25227).
var (
	overseers = []model.AdminRole{model.AdminAll, model.AdminAuditor}
	explorers = []model.AdminRole{model.AdminAll, model.AdminOperator, model.AdminAuditor}
)

// resource is a collection of named objects.
type resource struct {
	kind, one   string // services, Service
	key         string // the field that names an object, and the path's parameter
	value, page any    // of the model's type, and a page of it
	readers     []model.AdminRole
}

func of[T any](kind, key string, readers []model.AdminRole) resource {
	var v T
	return resource{kind: kind, one: reflect.TypeOf(v).Name(), key: key, value: v, page: page[T]{}, readers: readers}
}

func resources() []resource {
	return []resource{
		of[model.Service](store.KindServices, "name", nil),
		of[model.Route](store.KindRoutes, "name", nil),
		of[model.Role](store.KindRoles, "name", nil),
		of[model.Group](store.KindGroups, "name", nil),
		of[model.User](provision.KindUsers, "username", nil),
		of[model.IdentityProvider](store.KindIdentityProviders, "name", nil),
		of[model.Administrator](store.KindAdministrators, "name", overseers),
	}
}

// mount is the whole table.
func (h *Handler) mount() []operation {
	var ops []operation
	for _, r := range resources() {
		ops = append(ops, h.collection(r)...)
	}
	ops = append(ops, h.credentials(provision.KindUsers, "User", "username", nil)...)
	ops = append(ops, h.credentials(store.KindAdministrators, "Administrator", "name", overseers)...)
	ops = append(ops, h.configuration()...)
	ops = append(ops, h.documents()...)
	ops = append(ops, h.history()...)
	ops = append(ops, h.sessions()...)
	ops = append(ops, h.checks()...)
	return append(ops, h.seeing()...)
}

// permit refuses a caller whose roles do not reach the operation. One without
// any role may do nothing.
func permit(allowed, roles []model.AdminRole) error {
	if len(roles) == 0 {
		return model.NewError(model.PermissionDenied, "This administrator has no role.")
	}
	if allowed == nil {
		return nil
	}
	for _, r := range roles {
		if slices.Contains(allowed, r) {
			return nil
		}
	}
	names := make([]string, len(allowed))
	for i, r := range allowed {
		names[i] = string(r)
	}
	return model.NewError(model.PermissionDenied, "This needs one of the roles "+strings.Join(names, ", ")+".")
}

// find answers the operation for a path, by whole segments, and the path's
// parameters; or, where only the method does not fit, the methods that would.
// A literal segment wins over a parameter.
func find(ops []operation, method string, segments []string) (found *operation, params map[string]string, allow []string) {
	best, score := "", -1
	for i := range ops {
		if ops[i].Path == best {
			continue
		}
		if s := fit(ops[i].Path, segments); s > score {
			best, score = ops[i].Path, s
		}
	}
	if score < 0 {
		return nil, nil, nil
	}
	for i := range ops {
		op := &ops[i]
		if op.Path != best {
			continue
		}
		allow = append(allow, op.Method)
		if op.Method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
		if op.Method == method || op.Method == http.MethodGet && method == http.MethodHead {
			found = op
		}
	}
	if found != nil {
		return found, bind(best, segments), nil
	}
	sort.Strings(allow)
	return nil, nil, allow
}

// fit is the number of literal segments where the path fits, else -1.
func fit(path string, segments []string) (literals int) {
	pattern := strings.Split(path[1:], "/")
	if len(pattern) != len(segments) {
		return -1
	}
	for i, p := range pattern {
		switch {
		case p[0] == '{':
			if segments[i] == "" {
				return -1
			}
		case p != segments[i]:
			return -1
		default:
			literals++
		}
	}
	return literals
}

func bind(path string, segments []string) map[string]string {
	m := map[string]string{}
	for i, p := range strings.Split(path[1:], "/") {
		if p[0] == '{' {
			m[p[1:len(p)-1]] = segments[i]
		}
	}
	return m
}
