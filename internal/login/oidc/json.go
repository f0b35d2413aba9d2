package oidc

import (
	"strings"

	"github.com/sallyport/sallyport/internal/strict"
)

// name is a text that can stand in a database and a log: bounded, without controls.
func name(v any) (string, bool) {
	const most = 512
	s, ok := strict.Text(v)
	return s, ok && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
