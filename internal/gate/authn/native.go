package authn

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// native turns a CEL value into what JSON would have given: text, numbers,
// booleans, lists and maps of these; nil for anything else.
func native(v ref.Val) any {
	switch v := v.(type) {
	case types.String:
		return string(v)
	case types.Bool:
		return bool(v)
	case types.Int:
		return float64(v)
	case types.Uint:
		return float64(v)
	case types.Double:
		return float64(v)
	case traits.Lister:
		return nativeList(v)
	case traits.Mapper:
		return nativeMap(v)
	}
	return nil
}

func nativeList(l traits.Lister) []any {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		out = append(out, native(it.Next()))
	}
	return out
}

func nativeMap(m traits.Mapper) map[string]any {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		if name, ok := k.(types.String); ok {
			out[string(name)] = native(m.Get(k))
		}
	}
	return out
}
