package docstest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A row of the table in testing.md for each test that counts, and with its counts.
func TestTheSoakIsDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "testing.md"))
	must(t, err)
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Test\\w+)` \\|(.*)$").FindAllStringSubmatch(string(b), -1) {
		rows[m[1]] = m[2]
	}
	files, err := filepath.Glob(filepath.Join(root, "test", "e2e", "*_test.go"))
	must(t, err)
	counting := map[string]bool{}
	for _, f := range files {
		if filepath.Base(f) == "counts_test.go" { // the counting itself
			continue
		}
		text, err := os.ReadFile(f)
		must(t, err)
		for _, part := range regexp.MustCompile(`(?m)^func `).Split(string(text), -1) {
			name, _, _ := strings.Cut(part, "(")
			for _, m := range regexp.MustCompile(`\bcounts\((\d+), ([\d_]+)|\bsoak\(\)`).FindAllStringSubmatch(part, -1) {
				counting[name] = true
				row, there := rows[name]
				if !there {
					t.Errorf("%s: %s counts, and docs/testing.md has no row for it", filepath.Base(f), name)
					break
				}
				if m[1] != "" && !strings.Contains(row, " "+m[1]) {
					t.Errorf("%s counts to %s, which its row does not say:%s", name, m[1], row)
				}
			}
		}
	}
	for name := range rows {
		if !counting[name] {
			t.Errorf("docs/testing.md has a row for %s, which counts nothing", name)
		}
	}
}
