package docstest

import (
	"encoding"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

var (
	textual = reflect.TypeFor[encoding.TextMarshaler]()
	written = reflect.TypeFor[json.Marshaler]()
	moment  = reflect.TypeFor[time.Time]()
)

// fieldsOf lists a type's fields as they are written: listeners[].tls.minVersion.
func fieldsOf(t reflect.Type, prefix string, out map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice && prefix != "" {
			prefix += "[]"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == moment || t.Implements(textual) || t.Implements(written) {
		return
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		if prefix != "" {
			name = prefix + "." + name
		}
		out[name] = true
		fieldsOf(t.Field(i).Type, name, out)
	}
}

var (
	section = regexp.MustCompile("^## `([^`]+)`")
	row     = regexp.MustCompile("^\\| `([^`]+)` \\|")
)

// rowsOf lists the first cells of a page's tables, behind the section's name where
// that is a field.
func rowsOf(t *testing.T, name string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "docs", "reference", name))
	must(t, err)
	out, prefix, fields := map[string]bool{}, "", false
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "## ") {
			prefix = ""
			if m := section.FindStringSubmatch(l); m != nil {
				prefix = m[1] + "."
				out[strings.TrimSuffix(m[1], "[]")] = true
			}
		}
		if strings.HasPrefix(l, "| ") && !strings.HasPrefix(l, "| `") {
			fields = strings.HasPrefix(l, "| field ")
		}
		if m := row.FindStringSubmatch(l); m != nil && fields {
			if key := prefix + m[1]; prefix != "" && out[key] {
				t.Errorf("%s: %s has two rows", name, key)
			}
			out[prefix+m[1]] = true
		}
	}
	return out
}

func compare(t *testing.T, page string, fields map[string]bool, apart ...string) {
	t.Helper()
	rows := rowsOf(t, page)
	for f := range fields {
		if !rows[f] {
			t.Errorf("docs/reference/%s has no row for %s", page, f)
		}
	}
	for _, a := range apart {
		fields[a] = true
	}
	for r := range rows {
		if !fields[r] {
			t.Errorf("docs/reference/%s has a row for %s, which is no field", page, r)
		}
	}
}

func TestEveryFieldOfTheBootFileHasARow(t *testing.T) {
	fields := map[string]bool{}
	fieldsOf(reflect.TypeFor[config.Config](), "", fields)
	compare(t, "boot-file.md", fields)
}

func TestEveryFieldOfTheResourcesHasARow(t *testing.T) {
	fields := map[string]bool{}
	fieldsOf(reflect.TypeFor[model.Document](), "", fields)
	delete(fields, "settings") // its parts have sections
	compare(t, "resources.md", fields)
}

func TestEveryFieldOfAnAuditEventHasARow(t *testing.T) {
	fields := map[string]bool{}
	fieldsOf(reflect.TypeFor[model.Event](), "", fields)
	compare(t, "audit-events.md", fields)
}
