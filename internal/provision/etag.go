package provision

import (
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// etag is strong: the revision that last changed the object. It differs even
// where a change was taken back, so a writer never misses what happened between.
func etag(revision int64) string { return `"r` + strconv.FormatInt(revision, 10) + `"` }

// guard judges a condition against what is stored. A weak tag never matches
// (RFC 9110, 13.1.1: If-Match compares strongly).
func (c Condition) guard(kind, name string, exists bool, revision int64) error {
	if c.IfNoneMatch && exists {
		return model.NewError(model.Conflict, quote(name)+" exists already among "+kind+".")
	}
	if c.IfMatch == "" {
		return nil
	}
	if exists {
		for tag := range strings.SplitSeq(c.IfMatch, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(revision) {
				return nil
			}
		}
		return model.NewError(model.PreconditionFailed, quote(name)+" has changed since: its ETag is "+etag(revision)+" now.")
	}
	return model.NewError(model.PreconditionFailed, "If-Match asks for an existing object, and there is no "+quote(name)+" among "+kind+".")
}

func quote(s string) string { return strconv.Quote(s) }
