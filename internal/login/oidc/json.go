package oidc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxDepth is how far objects and lists of a provider may be nested.
const maxDepth = 16

var errJSON = errors.New("not one JSON object, or nested too deep, or with a name twice in an object")

// object reads one JSON object strictly: UTF-8, no name twice in one object (of two
// readers each may take another one), nothing behind it. Numbers become float64
// and must fit it.
func object(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) || !json.Valid(b) { // Decoder.Token is laxer than Valid
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
	case json.Number:
		return t.Float64() // 1e999 does not fit
	case json.Delim:
		if depth >= maxDepth {
			return nil, errJSON
		}
		if t == '{' {
			return members(d, depth+1)
		}
		return elements(d, depth+1)
	}
	return t, nil
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
		if out[name], err = value(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

func elements(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

// decode reads base64url without padding, strictly, so that a token has one spelling.
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

// name is a text that can stand in a database and a log: bounded, without controls.
func name(v any) (string, bool) {
	const most = 512
	s, ok := text(v)
	return s, ok && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// looksLike names what came in place of JSON, for whoever reads the status.
func looksLike(b []byte) string {
	t := bytes.ToLower(bytes.TrimSpace(b[:min(len(b), 512)]))
	switch {
	case len(t) == 0:
		return "nothing"
	case bytes.HasPrefix(t, []byte("<!doctype")) || bytes.HasPrefix(t, []byte("<html")):
		return "an HTML page"
	case t[0] == '{' || t[0] == '[':
		return "broken JSON"
	}
	return "something else"
}
