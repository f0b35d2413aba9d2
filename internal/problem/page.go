package problem

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// style is all that a page loads. It is in the page, and the policy lets in
// these bytes and nothing else.
const style = `:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--page:#f6f8fa;--card:#fff;--line:#d0d7de;--deed:#0b57d0}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--page:#0d1117;--card:#161b22;--line:#30363d;--deed:#8ab4f8}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{width:100%;max-width:36rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:2rem}
h1{margin:0 0 .5rem;font-size:1.35rem;line-height:1.3}
p,ul{margin:0 0 1.25rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1rem;margin:0;padding-top:1.25rem;border-top:1px solid var(--line);font-size:.875rem}
a{color:var(--deed)}
:focus-visible{outline:3px solid var(--deed);outline-offset:2px}
dt{color:var(--soft)}
dd{margin:0;font-family:ui-monospace,monospace;overflow-wrap:anywhere}
`

var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// page says the same facts as the problem document to a person.
func page(e *model.Error, requestID, again string) []byte {
	var b strings.Builder
	status := strconv.Itoa(e.Code.Status())
	head := html.EscapeString(title(e.Code))
	b.WriteString("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n")
	b.WriteString("<title>" + head + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n")
	b.WriteString("<h1>" + head + "</h1>\n<p>" + html.EscapeString(e.Message) + "</p>\n")
	if len(e.Faults) > 0 {
		b.WriteString("<ul>\n")
		for _, f := range e.Faults {
			b.WriteString("<li>" + html.EscapeString(strings.TrimPrefix(f.Path+": "+f.Message, ": ")) + "</li>\n")
		}
		b.WriteString("</ul>\n")
	}
	if again != "" {
		b.WriteString("<p><a href=\"" + html.EscapeString(again) + "\">Start over</a></p>\n")
	}
	b.WriteString("<dl>\n")
	for _, row := range [][2]string{{"Status", status}, {"Code", string(e.Code)}, {"Answered by", "the gateway (sallyport)"}, {"Request id", requestID}} {
		b.WriteString("<dt>" + row[0] + "</dt><dd>" + html.EscapeString(row[1]) + "</dd>\n")
	}
	b.WriteString("</dl>\n</main>\n</body>\n</html>\n")
	return []byte(b.String())
}
