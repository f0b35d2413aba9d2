package audit

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// condition is one comparison of a filter.
type condition struct {
	field, op, value string
	number           float64
	time             time.Time
	needle           []byte // what a line that meets it must hold, as it was encoded
}

// textField reads a field that holds text.
func textField(e *model.Event, name string) (string, bool) {
	switch name {
	case "id":
		return e.ID, true
	case "node":
		return e.Node, true
	case "type":
		return string(e.Type), true
	case "part":
		return e.Part, true
	case "outcome":
		return e.Outcome, true
	case "step":
		return e.Step, true
	case "code":
		return string(e.Code), true
	case "reason":
		return e.Reason, true
	case "requestId":
		return e.RequestID, true
	case "actor":
		return e.Actor, true
	case "user":
		return e.User, true
	case "credential":
		return e.Credential, true
	case "provider":
		return e.Provider, true
	case "service":
		return e.Service, true
	case "route":
		return e.Route, true
	case "rule":
		return e.Rule, true
	case "method":
		return e.Method, true
	case "host":
		return e.Host, true
	case "path":
		return e.Path, true
	case "clientIP":
		return e.ClientIP, true
	case "userAgent":
		return e.UserAgent, true
	}
	return "", false
}

// numberField reads a field that holds a number.
func numberField(e *model.Event, name string) (float64, bool) {
	switch name {
	case "seq":
		return float64(e.Seq), true
	case "status":
		return float64(e.Status), true
	case "bytesIn":
		return float64(e.BytesIn), true
	case "bytesOut":
		return float64(e.BytesOut), true
	case "durationMs":
		return e.DurationMs, true
	case "revision":
		return float64(e.Revision), true
	case "count":
		return float64(e.Count), true
	}
	return 0, false
}

const filterForm = `write field eq "value", joined by and; eq, ne, co, sw, gt, ge, lt and le compare`

// ParseFilter reads a filter as Query takes it, and answers what it selects.
func ParseFilter(s string) (func(*model.Event) bool, error) {
	list, err := parseFilter(s)
	if err != nil {
		return nil, err
	}
	return func(e *model.Event) bool {
		for i := range list {
			if !list[i].meets(e) {
				return false
			}
		}
		return true
	}, nil
}

// parseFilter reads `field op "value" and …`.
func parseFilter(s string) ([]condition, error) {
	var list []condition
	words, fault := splitFilter(s)
	if fault != "" {
		return nil, invalid("filter", fault)
	}
	for at := 0; at < len(words); at += 4 {
		if len(words)-at < 3 || len(words)-at > 3 && !strings.EqualFold(words[at+3].text, "and") || len(words)-at == 4 {
			return nil, invalid("filter", "is not a filter; "+filterForm)
		}
		c, fault := newCondition(words[at].text, strings.ToLower(words[at+1].text), words[at+2].text)
		if fault != "" {
			return nil, invalid("filter", fault)
		}
		list = append(list, c)
	}
	return list, nil
}

func invalid(path, message string) error {
	return model.Faults{{Path: path, Message: message}}.Err()
}

func newCondition(field, op, value string) (c condition, fault string) {
	c = condition{field: field, op: op, value: value}
	var e model.Event
	var err error
	_, text := textField(&e, field)
	_, number := numberField(&e, field)
	switch {
	case field == "time":
		if c.time, err = time.Parse(time.RFC3339Nano, value); err != nil {
			return c, strconv.Quote(value) + " is not a time; write 2026-01-31T23:59:59Z"
		}
	case number:
		if c.number, err = strconv.ParseFloat(value, 64); err != nil {
			return c, field + " is compared with a number"
		}
	case !text:
		return c, strconv.Quote(field) + " is not a field of an event that can be asked for"
	}
	c.time = c.time.Truncate(time.Microsecond) // as events are kept
	switch op {
	case "eq":
		if text && value != "" {
			c.needle = appendText([]byte(`"`+field+`":`), value, maxPath)
		}
	case "ne":
	case "co", "sw":
		if !text {
			return c, op + " compares text, which " + field + " is not"
		}
	case "gt", "ge", "lt", "le":
		if text {
			return c, op + " compares numbers and times, and " + field + " is text"
		}
	default:
		return c, strconv.Quote(op) + " is not a comparison; " + filterForm
	}
	return c, ""
}

// possible says whether a line may hold an event that meets all conditions,
// without decoding it.
func possible(list []condition, line []byte) bool {
	for i := range list {
		if n := list[i].needle; n != nil && !bytes.Contains(line, n) {
			return false
		}
	}
	return true
}

func meets(list []condition, e *model.Event) bool {
	for i := range list {
		if !list[i].meets(e) {
			return false
		}
	}
	return true
}

func (c *condition) meets(e *model.Event) bool {
	if c.field == "time" {
		return compares(c.op, e.Time.Compare(c.time))
	}
	if n, ok := numberField(e, c.field); ok {
		switch {
		case n < c.number:
			return compares(c.op, -1)
		case n > c.number:
			return compares(c.op, 1)
		}
		return compares(c.op, 0)
	}
	s, _ := textField(e, c.field)
	switch c.op {
	case "co":
		return strings.Contains(s, c.value)
	case "sw":
		return strings.HasPrefix(s, c.value)
	case "ne":
		return s != c.value
	}
	return s == c.value
}

func compares(op string, order int) bool {
	switch op {
	case "eq":
		return order == 0
	case "ne":
		return order != 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	}
	return order <= 0
}

type word struct {
	text   string
	quoted bool
}

// splitFilter parts a filter into words and "quoted values", in which a backslash
// keeps the character behind it.
func splitFilter(s string) (words []word, fault string) {
	for i := 0; i < len(s); {
		switch {
		case s[i] == ' ' || s[i] == '\t':
			i++
		case s[i] == '"':
			var b strings.Builder
			i++
			for ; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' && i+1 < len(s) {
					i++
				}
				b.WriteByte(s[i])
			}
			if i >= len(s) {
				return nil, "has a quotation mark that is never closed"
			}
			i++
			words = append(words, word{b.String(), true})
		default:
			n := strings.IndexAny(s[i:], " \t\"")
			if n < 0 {
				n = len(s) - i
			}
			words = append(words, word{s[i : i+n], false})
			i += n
		}
	}
	return words, ""
}
