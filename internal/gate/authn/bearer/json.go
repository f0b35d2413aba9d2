package bearer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxDepth is how far objects and lists in a token may be nested.
const maxDepth = 16

var errJSON = errors.New("not one JSON object, or nested too deep, or with a name twice in an object")

// object reads one JSON object strictly: UTF-8, no name twice in one object (two
// readers may each take another one), nothing behind it. Numbers become float64
// and must fit it.
func object(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, errJSON
	}
	m, ok := v.(map[string]any)
	if _, err := d.Token(); !ok || err != io.EOF {
		return nil, errJSON
	}
	return m, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return nil, errJSON
		}
		if t == '[' {
			return list(d, depth)
		}
		return members(d, depth)
	case json.Number:
		return t.Float64() // 1e999 does not fit
	}
	return t, nil
}

func list(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

func members(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if _, twice := out[name]; !ok || twice {
			return nil, errJSON
		}
		if out[name], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

// decode reads base64url without padding, strictly: no line breaks, no stray bits,
// so that one token has one spelling.
func decode(s string) ([]byte, bool) {
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// text is a string that came through JSON whole. The replacement character stands
// for halves of surrogate pairs: two different names could look alike with it.
func text(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok && s != "" && !strings.ContainsRune(s, utf8.RuneError)
}
