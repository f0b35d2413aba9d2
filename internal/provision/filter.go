package provision

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// term is one condition of a filter: field eq value.
type term struct {
	field string
	value any // string, bool or float64
}

// parseFilter reads `field eq "value" and …`. What it does not understand is a
// fault: a filter that is ignored answers everything, and a program then takes
// the first user it sees for the one it asked for.
func parseFilter(s string) ([]term, error) {
	const usage = `write field eq "value", joined by and`
	var terms []term
	rest := strings.TrimSpace(s)
	if rest == "" {
		return nil, nil
	}
	for {
		field, after, ok := strings.Cut(rest, " ")
		if !ok || field == "" {
			return nil, fmt.Errorf("ends too early; %s", usage)
		}
		op, after, ok := strings.Cut(strings.TrimLeft(after, " "), " ")
		if !ok || !strings.EqualFold(op, "eq") {
			return nil, fmt.Errorf("has the operator %q; %s", op, usage)
		}
		value, after, err := literal(strings.TrimLeft(after, " "))
		if err != nil {
			return nil, fmt.Errorf("%w; %s", err, usage)
		}
		terms = append(terms, term{field, value})
		rest = strings.TrimLeft(after, " ")
		if rest == "" {
			return terms, nil
		}
		word, after, _ := strings.Cut(rest, " ")
		if !strings.EqualFold(word, "and") {
			return nil, fmt.Errorf("has %q where and belongs; %s", word, usage)
		}
		rest = strings.TrimLeft(after, " ")
	}
}

// literal reads a JSON string, true, false or a number from the front of s.
func literal(s string) (value any, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case '"':
				var text string
				if err := json.Unmarshal([]byte(s[:i+1]), &text); err != nil {
					return nil, "", fmt.Errorf("has a text that is not written as in JSON: %s", s[:i+1])
				}
				return text, s[i+1:], nil
			}
		}
		return nil, "", fmt.Errorf("has a text that does not end")
	}
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "true", "false":
		return word == "true", rest, nil
	}
	if f, err := strconv.ParseFloat(word, 64); err == nil {
		return f, rest, nil
	}
	return nil, "", fmt.Errorf("has %q, which is no value", word)
}

// queryFault is a 422 about one parameter of a list.
func queryFault(parameter, message string) error {
	return &model.Error{Code: model.Invalid, Message: "The list cannot be made as it was asked for.",
		Faults: model.Faults{{Path: parameter, Message: message}}}
}

// filterFields are the fields of a type that can be compared: texts, numbers,
// truths, and lists of texts, which hold a value or do not.
func filterFields(v any, secrets bool) (fields []string) {
	t := reflect.TypeOf(v).Elem()
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch k := f.Type.Kind(); {
		case name == "" || name == "-" || secrets && name == "secret":
		case k == reflect.String, k == reflect.Bool, k == reflect.Int,
			k == reflect.Slice && f.Type.Elem().Kind() == reflect.String:
			fields = append(fields, name)
		}
	}
	return fields
}

// resolveFields brings the terms' fields into the type's spelling: role stands for
// roles, so that one may ask for the one that a list holds.
func resolveFields(terms []term, fields []string) error {
	for i := range terms {
		switch f := terms[i].field; {
		case slices.Contains(fields, f):
		case slices.Contains(fields, f+"s"):
			terms[i].field = f + "s"
		default:
			return queryFault("filter", quote(f)+" is not a field to filter by; the fields are "+strings.Join(fields, ", "))
		}
	}
	return nil
}

// holds says whether an object, as JSON, fulfils all terms.
func holds(object map[string]any, terms []term) bool {
	for _, t := range terms {
		v, ok := object[t.field]
		if list, isList := v.([]any); isList {
			if !slices.Contains(list, t.value) {
				return false
			}
			continue
		}
		if !ok { // omitted because it is empty
			v = reflect.Zero(reflect.TypeOf(t.value)).Interface()
		}
		if v != t.value {
			return false
		}
	}
	return true
}

// asMap is a value as JSON shows it.
func asMap(v any) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(b, &m)
}

// Texts reads a filter whose fields are these texts: for lists that are not
// collections of the configuration.
func Texts(filter string, fields ...string) (map[string]string, error) {
	terms, err := parseFilter(filter)
	if err != nil {
		return nil, filterFault(err.Error())
	}
	found := map[string]string{}
	for _, t := range terms {
		v, ok := t.value.(string)
		switch {
		case !slices.Contains(fields, t.field):
			return nil, filterFault("knows the fields " + strings.Join(fields, ", ") + ", and not " + quote(t.field))
		case !ok:
			return nil, filterFault(t.field + " is a text")
		case found[t.field] != "":
			return nil, filterFault(t.field + " is asked for twice")
		}
		found[t.field] = v
	}
	return found, nil
}

func filterFault(message string) error {
	return &model.Error{Code: model.Invalid, Message: "The request is not valid.", Faults: model.Faults{{Path: "filter", Message: message}}}
}
