package strip

import (
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// LoopSeen says whether CDN-Loop (RFC 8586) or Via (RFC 9110, 7.6.3) names this
// gateway: the request has been here before.
func LoopSeen(r *model.Request, id string) bool {
	for i := range r.Fields {
		f := &r.Fields[i]
		switch len(f.Name) {
		case 8:
			if model.EqualFold(f.Name, "CDN-Loop") && lists(f.Value, id, false) {
				return true
			}
		case 3:
			if model.EqualFold(f.Name, "Via") && lists(f.Value, id, true) {
				return true
			}
		}
	}
	return false
}

// lists looks for id as a whole member: CDN-Loop's is "id; parameters", Via's
// "protocol id comment".
func lists(value, id string, via bool) bool {
	for value != "" {
		var member string
		member, value, _ = strings.Cut(value, ",")
		member = strings.Trim(member, " \t")
		if via {
			_, rest, ok := strings.Cut(member, " ")
			if !ok {
				continue
			}
			member, _, _ = strings.Cut(strings.TrimLeft(rest, " \t"), " ")
		} else {
			member, _, _ = strings.Cut(member, ";")
			member = strings.TrimRight(member, " \t")
		}
		if model.EqualFold(member, id) {
			return true
		}
	}
	return false
}
