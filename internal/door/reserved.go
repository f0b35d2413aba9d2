package door

import (
	"strings"

	"github.com/sallyport/sallyport/internal/gate/match"
)

// Reserved says whether a target lies among the gateway's own paths, in whatever
// spelling: what is not answered there is not there, and is no route's (SPEC 4).
func Reserved(target string) bool {
	// Its canonical form has a segment that begins with a dot, written so or encoded.
	if !strings.Contains(target, "/.") && !strings.Contains(target, "%2") {
		return false
	}
	p, err := match.ParseTarget(target, nil)
	if err != nil {
		return false // refused by the gate for what it is
	}
	rest, ok := strings.CutPrefix(p.Canonical, "/.sallyport")
	return ok && (rest == "" || rest[0] == '/')
}
