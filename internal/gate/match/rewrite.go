package match

import "strings"

// RewritePath takes stripPrefix off p where p is at or below it, and puts
// addPrefix before what is left. The prefixes are plain absolute paths, as the
// model demands of a route's rewrite; p is a path that was matched. The result is
// absolute, and no dot segment or empty segment comes into being where the parts
// meet: "//host" would be read as an authority.
func RewritePath(p, stripPrefix, addPrefix string) string {
	rest := p
	if s := strings.TrimRight(stripPrefix, "/"); s != "" && under(p, s) {
		rest = p[len(s):]
	}
	add := strings.TrimRight(addPrefix, "/")
	if i := leadingSlashes(rest); i > 1 {
		rest = rest[i-1:]
	} else if i == 0 && rest != "" {
		rest = "/" + rest
	}
	switch {
	case add == "" && rest == "":
		return "/"
	case add == "":
		return rest
	}
	return "/" + add[leadingSlashes(add):] + rest
}

func leadingSlashes(s string) int { return len(s) - len(strings.TrimLeft(s, "/")) }
