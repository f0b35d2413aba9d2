package login

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

//go:embed pages/*.html pages/style.css
var files embed.FS

// templates are the pages. html/template escapes by context; nothing in them is
// marked as safe but the gateway's own stylesheet.
var templates = template.Must(template.New("").ParseFS(files, "pages/*.html"))

var style = func() template.CSS {
	b, err := files.ReadFile("pages/style.css")
	if err != nil {
		panic("the stylesheet is embedded: " + err.Error())
	}
	return template.CSS(b) //nolint:gosec // it is ours
}()

// view is what the pages show.
type view struct {
	Title, Message    string
	User, DisplayName string
	Username          string // in the form
	Return, CSRF      string
	HostBind          string
	Password          bool
	Ways              []way
	Sessions          []row
	Post              *post
	// Targets are where the page's form may lead, beside the gateway.
	Targets []string

	Style            template.CSS
	Nonce            string
	Stylesheet, Logo string
}

// post is a form that goes to a provider.
type post struct {
	URL    string
	Fields url.Values
}

// page writes a page. It works without script; the one that posts to a provider
// presses its own button where there is script.
func (v *visit) page(status int, name string, data view) error {
	faces := v.plan.Set.Settings.Pages
	data.Style, data.Nonce = style, newText(16)
	data.Stylesheet, data.Logo = faces.Stylesheet, faces.Logo
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name+".html", data); err != nil {
		return model.AsError(err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", policy(&data))
	// Under no-referrer browsers send "Origin: null" with forms, which is refused as
	// another site's; this says the origin, and nothing of the address.
	h.Set("Referrer-Policy", "strict-origin")
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(b.Bytes())
	}
	return nil
}

// policy lets in the page's own style, the operator's stylesheet and logo, and
// nothing else; browsers hold redirects after a form to form-action, too.
func policy(data *view) string {
	targets := "'self'"
	for _, t := range data.Targets {
		if t != "" && !strings.ContainsAny(t, " ;,'") {
			targets += " " + t
		}
	}
	p := "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action " + targets +
		"; style-src 'nonce-" + data.Nonce + "'" + source(data.Stylesheet)
	// data: is for the icon that there is none: browsers else ask the site for one.
	p += "; img-src" + source(data.Logo) + " data:"
	if data.Post != nil {
		p += "; script-src 'nonce-" + data.Nonce + "'"
	}
	return p
}

// source is where a stylesheet or a logo comes from; their addresses are checked
// where they are set.
func source(address string) string {
	switch {
	case address == "":
		return ""
	case strings.HasPrefix(address, "/"):
		return " 'self'"
	}
	return " " + originOf(address)
}
