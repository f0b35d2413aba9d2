package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// cursor is where a page ended. It holds only what the page's reader has seen.
type cursor struct {
	Key  string `json:"k,omitempty"` // of the last item, by the field that sorts
	Name string `json:"n"`           // of the last item
}

// sum binds a cursor to its collection, filter and order, so that one cannot be
// used for another list, where it would skip things unseen.
func (c cursor) sum(kind string, q Query, body []byte) []byte {
	h := sha256.New()
	for _, s := range []string{"sallyport cursor", kind, q.Filter, q.Sort} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write(body)
	return h.Sum(nil)[:8]
}

func (c cursor) String(kind string, q Query) string {
	body, _ := json.Marshal(c) // two strings
	return base64.RawURLEncoding.EncodeToString(append(c.sum(kind, q, body), body...))
}

func parseCursor(kind string, q Query) (c cursor, given bool, err error) {
	if q.Cursor == "" {
		return c, false, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err == nil && len(b) > 8 && bytes.Equal(c.sum(kind, q, b[8:]), b[:8]) && json.Unmarshal(b[8:], &c) == nil {
		return c, true, nil
	}
	return c, false, queryFault("cursor", "is not a cursor of this list; start again without one")
}
