package authz

import (
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// headers is request.headers: a map from lower-case name to value that is looked
// up in the request's fields and never built. Fields of one name are joined
// (RFC 9110, 5.3). Looking up ignores case, for a deny rule that spells a name
// its own way must not silently never apply. What was stripped is not there, nor
// are the fields that carry credentials: a value may end in an error's text.
type headers struct{ a *activation }

func hidden(name string) bool {
	switch len(name) {
	case 6:
		return strings.EqualFold(name, "cookie")
	case 9:
		return strings.EqualFold(name, "x-api-key")
	case 13:
		return strings.EqualFold(name, "authorization")
	case 19:
		return strings.EqualFold(name, "proxy-authorization")
	}
	return false
}

func (h *headers) find(name string) (string, bool) {
	found, many, out := false, []string(nil), ""
	fields := h.a.facts.Request.Fields
	for i := range fields {
		f := &fields[i]
		if f.Dropped || !strings.EqualFold(f.Name, name) || hidden(f.Name) {
			continue
		}
		if found {
			if many == nil {
				many = append(many, out)
			}
			many = append(many, f.Value)
		}
		found, out = true, f.Value
	}
	if many != nil {
		out = strings.Join(many, ", ")
	}
	return out, found
}

// names are the lower-case names, each once, in the order of the request.
func (h *headers) names() []string {
	var names []string
	seen := map[string]bool{}
	for _, f := range h.a.facts.Request.Fields {
		n := strings.ToLower(f.Name)
		if !f.Dropped && !hidden(f.Name) && !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	return names
}

// Find looks a name up.
func (h *headers) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	v, ok := h.find(string(name))
	if !ok {
		return nil, false
	}
	return types.String(v), true
}

// Get is Find, with an error where there is no such header.
func (h *headers) Get(key ref.Val) ref.Val {
	v, ok := h.Find(key)
	switch {
	case ok:
		return v
	case v != nil:
		return v
	}
	return types.NewErr("no such header: %v", key)
}

// Contains serves the in operator.
func (h *headers) Contains(key ref.Val) ref.Val {
	v, ok := h.Find(key)
	if !ok && v != nil {
		return v
	}
	return types.Bool(ok)
}

// Size is the number of names.
func (h *headers) Size() ref.Val { return types.Int(len(h.names())) }

// Iterator visits the names.
func (h *headers) Iterator() traits.Iterator {
	return types.DefaultTypeAdapter.NativeToValue(h.names()).(traits.Lister).Iterator()
}

// Type is map.
func (h *headers) Type() ref.Type { return types.MapType }

// Value is the map itself.
func (h *headers) Value() any { return h }

// Equal holds for the map itself alone.
func (h *headers) Equal(other ref.Val) ref.Val { return types.Bool(other == ref.Val(h)) }

// ConvertToType serves type(x) alone.
func (h *headers) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return h
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("headers do not convert to %s", t.TypeName())
}

// ConvertToNative is not offered: expressions end in a bool.
func (h *headers) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("headers do not convert to %v", t)
}

var _ traits.Mapper = (*headers)(nil)
