package strict

import (
	"reflect"
	"strings"
)

// shape is how a struct's fields are reached by their json names.
type shape struct {
	index map[string][]int
	names []string // in the order in which they are declared
}

func (d *decoder) shape(t reflect.Type) *shape {
	s, ok := d.shapes[t]
	if !ok {
		s = &shape{index: map[string][]int{}}
		s.collect(t, nil)
		d.shapes[t] = s
	}
	return s
}

// collect adds t's fields; those of embedded structs come after, so that an
// outer field hides an inner one of its name.
func (s *shape) collect(t reflect.Type, at []int) {
	var embedded []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Tag.Get("json") == "-" {
			continue
		}
		if f.Anonymous && name == "" && structure(f.Type) {
			if f.IsExported() || f.Type.Kind() == reflect.Struct {
				embedded = append(embedded, f)
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if _, hidden := s.index[name]; hidden {
			continue
		}
		s.index[name] = append(append([]int(nil), at...), i)
		s.names = append(s.names, name)
	}
	for _, f := range embedded {
		e := f.Type
		if e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		s.collect(e, append(append([]int(nil), at...), f.Index[0]))
	}
}

func structure(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// unknown is the message for a name that is no field: the nearest one if there is
// a near one, else what there is.
func (s *shape) unknown(name string) string {
	best, distance := "", 3
	for _, n := range s.names {
		switch d := edits(strings.ToLower(name), strings.ToLower(n), distance); {
		case d < distance && d < len(n):
			best, distance = n, d
		case best == "" && len(name) >= 4 && (strings.HasPrefix(n, name) || strings.HasPrefix(name, n) && len(n) >= 4):
			best = n
		}
	}
	switch {
	case best != "":
		return "is not a field here; did you mean " + best + "?"
	case len(s.names) == 0:
		return "is not a field here; there are none"
	case len(s.names) <= 24:
		return "is not a field here; the fields are " + strings.Join(s.names, ", ")
	}
	return "is not a field here"
}

// edits is the number of letters to add, drop, change or swap with the next to
// turn a into b; limit and more all count as limit.
func edits(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 {
		return limit
	}
	older, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, last = last, row
	}
	return min(last[len(b)], limit)
}
