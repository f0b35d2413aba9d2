package signature

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// base is the text that was signed (RFC 9421, 2.5): a line for each covered
// component, and one for the parameters.
func base(r *model.Request, in *input) (string, error) {
	var b strings.Builder
	for i, name := range in.components {
		for _, other := range in.components[:i] {
			if other == name {
				return "", errors.New("it covers " + quote(name) + " twice")
			}
		}
		value, err := component(r, name)
		if err != nil {
			return "", err
		}
		b.WriteString(text(name))
		b.WriteString(": ")
		b.WriteString(value)
		b.WriteByte('\n')
	}
	b.WriteString(`"@signature-params": `)
	in.write(&b)
	return b.String(), nil
}

// write is the member as RFC 8941 serialises it, whatever spaces it came with.
func (in *input) write(b *strings.Builder) {
	b.WriteByte('(')
	for i, name := range in.components {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(text(name))
	}
	b.WriteByte(')')
	for _, p := range in.parameters {
		b.WriteString(";" + p.name + "=")
		if p.integer {
			b.WriteString(strconv.FormatInt(p.number, 10))
		} else {
			b.WriteString(text(p.text))
		}
	}
}

// text is a string as RFC 8941 serialises it.
func text(s string) string {
	if !strings.ContainsAny(s, `\"`) {
		return `"` + s + `"`
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// component is the value of a covered component (RFC 9421, 2.1 and 2.2).
func component(r *model.Request, name string) (string, error) {
	path, query, asked := strings.Cut(r.Target, "?")
	switch name {
	case "@method":
		return r.Method, nil
	case "@target-uri":
		return r.Scheme + "://" + authn.Authority(r.Scheme, r.Host) + r.Target, nil
	case "@authority":
		return authn.Authority(r.Scheme, r.Host), nil
	case "@scheme":
		return r.Scheme, nil
	case "@request-target":
		return r.Target, nil
	case "@path":
		return path, nil
	case "@query":
		if !asked {
			return "?", nil
		}
		return "?" + query, nil
	}
	if !fieldName(name) {
		return "", errors.New("it covers " + quote(name) + ", which is no component that is known here")
	}
	if name == "host" {
		return r.Host, nil
	}
	return field(r, name)
}

// fieldName says whether a component names a field: a token in lower case (RFC
// 9421, 2.1).
func fieldName(s string) bool {
	if !model.ValidToken(s) {
		return false
	}
	return strings.ToLower(s) == s
}

// field is the value of all fields of a name, as they came. Fields that go no
// further are among them: they were signed as well.
func field(r *model.Request, name string) (string, error) {
	value, found := "", false
	for i := range r.Fields {
		f := &r.Fields[i]
		if !model.EqualFold(f.Name, name) {
			continue
		}
		v := strings.Trim(f.Value, " \t")
		if found {
			value += ", " + v
		} else {
			value, found = v, true
		}
	}
	if !found {
		return "", errors.New("it covers " + quote(name) + ", and the request has no such field")
	}
	if strings.ContainsAny(value, "\r\n\x00") { // no door lets one in; the base would have a line of its sender's
		return "", errors.New("it covers " + quote(name) + ", whose value is not one line")
	}
	return value, nil
}

// covers says why a signature that covers these components is worth too little: it
// could be moved to another request (RFC 9421, 7.2.1).
func covers(r *model.Request, in *input) string {
	has := map[string]bool{}
	for _, name := range in.components {
		has[name] = true
	}
	asked := strings.Contains(r.Target, "?")
	whole := has["@target-uri"] || has["@authority"] && (has["@request-target"] || has["@path"] && (has["@query"] || !asked))
	switch {
	case !has["@method"]:
		return "it does not cover @method"
	case !whole:
		return "it does not cover @target-uri, nor @authority with @path and, where there is one, @query"
	case body(r) && !has["content-digest"]:
		return "the request has a body, and the signature does not cover content-digest"
	}
	return ""
}

// body says whether a body follows, as far as the door or the head tells.
func body(r *model.Request) bool {
	if r.Body {
		return true
	}
	for i := range r.Fields {
		switch f := &r.Fields[i]; {
		case model.EqualFold(f.Name, "Content-Length") && strings.Trim(f.Value, "0") != "", model.EqualFold(f.Name, "Transfer-Encoding"):
			return true
		}
	}
	return false
}

// quote shows what a caller sent: short, and without controls.
func quote(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return strconv.Quote(s)
}
