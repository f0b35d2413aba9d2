package docstest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// page is a document in Markdown.
type page struct {
	path   string // from the root
	text   string
	prose  string  // the text, fenced blocks blanked out
	blocks []block // fenced ones
}

type block struct {
	info string // behind the opening fence
	text string
	line int // of the opening fence
}

// pages are all documents of the repository.
func pages(t *testing.T) (list []page) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "node_modules", "testdata", "bin", "data":
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		list = append(list, parse(filepath.ToSlash(rel), string(b)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("only %d pages were found", len(list))
	}
	return list
}

func parse(path, text string) page {
	p := page{path: path, text: text}
	var b *block
	var prose strings.Builder
	for i, l := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(l)
		switch {
		case b == nil && strings.HasPrefix(trimmed, "```"):
			b = &block{info: strings.TrimPrefix(trimmed, "```"), line: i + 1}
		case b != nil && trimmed == "```":
			p.blocks = append(p.blocks, *b)
			b = nil
		case b != nil:
			b.text += l + "\n"
		default:
			prose.WriteString(l)
		}
		prose.WriteByte('\n')
	}
	p.prose = prose.String()
	return p
}

var (
	inlineLink = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
	refLink    = regexp.MustCompile(`\[([^\]]+)\]\[([^\]]+)\]`)
	reference  = regexp.MustCompile(`(?m)^\[([^\]]+)\]:\s*(\S+)`)
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`)
	testName   = regexp.MustCompile(`^Test[A-Z]\w*(/[A-Z]\w*)?$`)
)

// link is a link with its words.
type link struct{ words, target string }

func (p *page) links(t *testing.T) (list []link) {
	t.Helper()
	for _, m := range inlineLink.FindAllStringSubmatch(p.prose, -1) {
		list = append(list, link{m[1], m[2]})
	}
	refs := map[string]string{}
	for _, m := range reference.FindAllStringSubmatch(p.prose, -1) {
		refs[m[1]] = m[2]
	}
	used := map[string]bool{}
	for _, m := range refLink.FindAllStringSubmatch(p.prose, -1) {
		target, ok := refs[m[2]]
		if !ok {
			t.Errorf("%s: [%s][%s] leads nowhere", p.path, m[1], m[2])
			continue
		}
		used[m[2]] = true
		list = append(list, link{m[1], target})
	}
	for r := range refs {
		if !used[r] && strings.Count(p.prose, "["+r+"]") < 2 {
			t.Errorf("%s: nothing refers to [%s]", p.path, r)
		}
	}
	return list
}

func TestEveryRelativeLinkLeadsSomewhere(t *testing.T) {
	list := pages(t)
	byPath := map[string]*page{}
	for i := range list {
		byPath[list[i].path] = &list[i]
	}
	for i := range list {
		p := &list[i]
		for _, l := range p.links(t) {
			if strings.Contains(l.target, "://") || strings.HasPrefix(l.target, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(l.target, "#")
			full := p.path
			if file != "" {
				full = filepath.ToSlash(filepath.Join(filepath.Dir(p.path), file))
			}
			if _, err := os.Stat(filepath.Join(root, full)); err != nil {
				t.Errorf("%s: the link %q leads to %s, which is not there", p.path, l.words, full)
				continue
			}
			if target := byPath[full]; anchor != "" && target != nil && !target.anchors()[anchor] {
				t.Errorf("%s: the link %q leads to a heading %q that %s does not have", p.path, l.words, anchor, full)
			}
		}
	}
}

// anchors are the names of headings, as they are commonly made.
func (p *page) anchors() map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(p.prose, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		out[name] = true
	}
	return out
}

func TestEveryTestThatAPageNamesIsInItsFile(t *testing.T) {
	n := 0
	for _, p := range pages(t) {
		for _, l := range p.links(t) {
			if !testName.MatchString(l.words) {
				continue
			}
			n++
			file := filepath.Join(root, filepath.Dir(p.path), l.target)
			b, err := os.ReadFile(file)
			want := "func " + l.words + "("
			if _, of, ok := strings.Cut(l.words, "/"); ok { // a case of a suite, by the suite's list
				want = `{"` + of + `", `
			}
			if err != nil || !strings.Contains(string(b), want) {
				t.Errorf("%s: %s is not in %s", p.path, l.words, l.target)
			}
		}
	}
	if n == 0 {
		t.Error("no page names a test")
	}
}

// machine are paths that are somebody's own.
var machine = regexp.MustCompile(`(^|[\s"'=:(])(/work/|/tmp/|/root/|/home/|/Users/|C:\\)`)

func TestNoPageNamesAMachine(t *testing.T) {
	for _, p := range pages(t) {
		for i, l := range strings.Split(p.text, "\n") {
			if machine.MatchString(l) {
				t.Errorf("%s:%d names a path of one machine: %s", p.path, i+1, strings.TrimSpace(l))
			}
		}
	}
}

func TestEveryPageCanBeFound(t *testing.T) {
	list := pages(t)
	linked := map[string]bool{}
	for i := range list {
		for _, l := range list[i].links(t) {
			file, _, _ := strings.Cut(l.target, "#")
			linked[filepath.ToSlash(filepath.Join(filepath.Dir(list[i].path), file))] = true
		}
	}
	for _, p := range list {
		dir := strings.TrimSuffix(p.path, "/README.md")
		if strings.HasPrefix(p.path, "docs/") && !linked[p.path] && !linked[dir] {
			t.Errorf("no page leads to %s", p.path)
		}
	}
}
