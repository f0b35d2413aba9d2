package strict

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxClaimsDepth is how far objects and lists may be nested in what Object reads.
const maxClaimsDepth = 16

var errObject = errors.New("not one JSON object, or nested too deep, or with a name twice in an object")

// Object reads one JSON object strictly: UTF-8, no name twice in one object (of two
// readers each may take another one), nothing behind it. Numbers become float64
// and must fit it. It is for what issuers say, tokens above all; JSON reads
// documents of people, and tells where their faults are.
func Object(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) || !json.Valid(b) { // Decoder.Token is laxer than Valid
		return nil, errObject
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := claim(d, 0)
	if err != nil {
		return nil, errObject
	}
	m, ok := v.(map[string]any)
	if _, err := d.Token(); !ok || err != io.EOF {
		return nil, errObject
	}
	return m, nil
}

func claim(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return t.Float64() // 1e999 does not fit
	case json.Delim:
		if depth >= maxClaimsDepth {
			return nil, errObject
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
			return nil, errObject
		}
		if out[name], err = claim(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

func elements(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := claim(d, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

// Base64URL reads base64url without padding, strictly: no line breaks, no stray bits,
// so that one token has one spelling.
func Base64URL(s string) ([]byte, bool) {
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// Text is a string that came through JSON whole. The replacement character stands
// for halves of surrogate pairs: two different names could look alike with it.
func Text(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok && s != "" && !strings.ContainsRune(s, utf8.RuneError)
}

// Name is a text that can stand in a database and a log: of 512 bytes at most, and
// without controls.
func Name(v any) (string, bool) {
	const most = 512
	s, ok := Text(v)
	return s, ok && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Instead names what came in place of JSON, for whoever reads the status.
func Instead(b []byte) string {
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
