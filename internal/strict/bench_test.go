package strict

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// A million users arrive in documents like this one; a minute and 1 GiB are what
// they may take altogether (SPEC 17).
func BenchmarkReadingADocumentOfUsers(b *testing.B) {
	var doc strings.Builder
	doc.WriteString(`{"users":[`)
	const n = 10_000
	for i := range n {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"username":"user%d","kind":"person","emails":["user%d@example.com"],"groups":["staff"],"active":true}`, i, i)
	}
	doc.WriteString("]}")
	data := []byte(doc.String())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		n, f := JSON(data)
		var d model.Document
		if f = append(f, n.Into(&d)...); len(f) > 0 || len(d.Users) != 10_000 {
			b.Fatal(f)
		}
	}
}
