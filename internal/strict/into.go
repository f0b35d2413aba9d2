package strict

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Into fills *dst. Structs are matched by their json tags, to the letter; each
// struct's Defaults method, if its pointer has one, runs before it is filled,
// those of elements and nested structs included. All faults come at once; dst
// is then partly filled and not to be used.
func (n *Node) Into(dst any) model.Faults {
	d := decoder{shapes: map[reflect.Type]*shape{}}
	if n.root != nil {
		d.file, d.yaml = n.root.file, n.root.yaml
	}
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		d.add("", n.line, "cannot be read here")
		return d.faults
	}
	d.defaults(v.Elem())
	d.fill(v.Elem(), n, "")
	return d.faults
}

type decoder struct {
	report
	yaml   bool
	shapes map[reflect.Type]*shape
}

type defaulter interface{ Defaults() }

var timeType = reflect.TypeFor[time.Time]()

// defaults runs the Defaults of v and of the structs within it, inner ones
// first, so that the outer one has the last word.
func (d *decoder) defaults(v reflect.Value) {
	if v.Kind() != reflect.Struct || v.Type() == timeType {
		return
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			d.defaults(v.Field(i))
		}
	}
	if f, ok := v.Addr().Interface().(defaulter); ok {
		f.Defaults()
	}
}

func (d *decoder) fill(v reflect.Value, n *Node, path string) {
	if v.Kind() == reflect.Pointer {
		if n.kind == Null {
			v.SetZero()
			return
		}
		e := reflect.New(v.Type().Elem())
		d.defaults(e.Elem())
		d.fill(e.Elem(), n, path)
		v.Set(e)
		return
	}
	if d.special(v, n, path) {
		return
	}
	if n.kind == Null {
		d.null(v, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(v, n, path)
	case reflect.Map:
		d.dictionary(v, n, path)
	case reflect.Slice:
		d.list(v, n, path)
	case reflect.Interface:
		d.free(v, n, path)
	default:
		d.scalar(v, n, path)
	}
}

// special reads the types that read themselves. A null is left to the caller.
func (d *decoder) special(v reflect.Value, n *Node, path string) bool {
	if n.kind == Null || !v.CanAddr() {
		return false
	}
	if v.Type() == timeType {
		t, err := time.Parse(time.RFC3339, n.text)
		if n.kind != String || err != nil {
			d.add(path, n.line, "is not a time; write it as 2027-01-31T12:00:00Z")
		}
		v.Set(reflect.ValueOf(t))
		return true
	}
	switch u := v.Addr().Interface().(type) {
	case json.Unmarshaler:
		b, _ := n.MarshalJSON()
		if err := u.UnmarshalJSON(b); err != nil {
			d.add(path, n.line, err.Error())
		}
		return true
	case encoding.TextUnmarshaler:
		if n.kind != String && n.kind != Number {
			d.add(path, n.line, "is "+n.article()+"; text is expected here")
			return true
		}
		if err := u.UnmarshalText([]byte(n.text)); err != nil {
			d.add(path, n.line, err.Error())
		}
		return true
	}
	return false
}

func (d *decoder) null(v reflect.Value, n *Node, path string) {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Interface:
		v.SetZero()
	default:
		msg := "is null; leave the field out for its default"
		if v.Kind() == reflect.String {
			msg += `, or write "" for an empty text`
		}
		d.add(path, n.line, msg)
	}
}

func (d *decoder) structure(v reflect.Value, n *Node, path string) {
	if n.kind != Map {
		d.wrong(n, path, "fields with names are expected here")
		return
	}
	s := d.shape(v.Type())
	for i := range n.kids {
		kid := &n.kids[i]
		at := field(path, kid.name)
		index, ok := s.index[kid.name]
		if !ok {
			d.add(at, kid.nameLine, s.unknown(kid.name))
			continue
		}
		d.fill(reach(v, index), kid, at)
	}
}

// reach walks to a field, making embedded pointers on the way.
func reach(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func (d *decoder) dictionary(v reflect.Value, n *Node, path string) {
	t := v.Type()
	if n.kind != Map || t.Key().Kind() != reflect.String {
		d.wrong(n, path, "names with values are expected here")
		return
	}
	m := reflect.MakeMapWithSize(t, len(n.kids))
	for i := range n.kids {
		e := reflect.New(t.Elem()).Elem()
		d.defaults(e)
		d.fill(e, &n.kids[i], field(path, n.kids[i].name))
		m.SetMapIndex(reflect.ValueOf(strings.Clone(n.kids[i].name)).Convert(t.Key()), e)
	}
	v.Set(m)
}

func (d *decoder) list(v reflect.Value, n *Node, path string) {
	if n.kind != List {
		hint := "a list is expected here"
		if n.kind != Map {
			hint += "; put it in brackets"
		}
		d.wrong(n, path, hint)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.kids), len(n.kids))
	for i := range n.kids {
		d.defaults(out.Index(i))
		d.fill(out.Index(i), &n.kids[i], path+"["+strconv.Itoa(i)+"]")
	}
	v.Set(out)
}

// free reads what may be anything. Numbers become float64, which is what reading
// the stored JSON gives again, so a number that would change on the way is a fault.
func (d *decoder) free(v reflect.Value, n *Node, path string) {
	if v.NumMethod() != 0 {
		d.wrong(n, path, "it cannot be read here")
		return
	}
	n.walk(path, func(at string, x *Node) {
		if x.kind == Number {
			if _, exact := float(x.text); !exact {
				d.add(at, x.line, "is a number that cannot be kept exactly; write it in quotes")
			}
		}
	})
	v.Set(reflect.ValueOf(n.Any()))
}

func (d *decoder) wrong(n *Node, path, expected string) {
	d.add(path, n.line, "is "+n.article()+"; "+expected)
}

func (n *Node) article() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "a map of names and values"}[n.kind]
}
