package rest

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// The largest bodies, in bytes.
const (
	bodyLimit  = 10 << 20
	applyLimit = 256 << 20
)

const maxReason = 1024 // bytes of X-Reason

// readQuery takes the parameters that the operation knows, each at most once.
// Others are faults: a misspelt dryRun must not become the real thing.
func (c *call) readQuery(known []openapi.Parameter) error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return model.NewError(model.RequestMalformed, "The query is not well formed.")
	}
	var f model.Faults
	c.query = make(map[string]string, len(values))
	for name, v := range values {
		p := openapi.Lookup(known, name)
		switch {
		case p == nil:
			f.Add("query", quoteShort(name)+" is not a parameter here"+among(known))
		case len(v) > 1:
			f.Add(name, "is given twice")
		case !utf8.ValidString(v[0]):
			f.Add(name, "is not UTF-8")
		default:
			c.query[name] = v[0]
			if msg := valueFault(p, v[0]); msg != "" {
				f.Add(name, msg)
			}
		}
	}
	if len(f) > 0 {
		return &model.Error{Code: model.Invalid, Message: "The query is not valid.", Faults: f}
	}
	return nil
}

func among(known []openapi.Parameter) string {
	if len(known) == 0 {
		return "; there are none"
	}
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.Name
	}
	return "; there are " + strings.Join(names, ", ")
}

func quoteShort(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strconv.Quote(strings.ToValidUTF8(s, "?"))
}

// valueFault is what is wrong with a parameter's value; "" = nothing.
func valueFault(p *openapi.Parameter, v string) string {
	switch p.Kind {
	case openapi.Flag:
		if v != "true" && v != "false" {
			return "is true or false"
		}
	case openapi.Count:
		if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 1000 {
			return "is a number from 1 to 1000"
		}
	}
	return ""
}

func (c *call) flag(name string) bool { return c.query[name] == "true" }

func (c *call) count(name string) int {
	n, _ := strconv.Atoi(c.query[name]) // checked by readQuery; "" = 0
	return n
}

func (c *call) readReason() error {
	c.reason = strings.Join(c.r.Header.Values("X-Reason"), ", ")
	if len(c.reason) > maxReason || !utf8.ValidString(c.reason) {
		return invalid("X-Reason", "is at most 1024 bytes of UTF-8")
	}
	return nil
}

// readBody reads and parses what the operation takes. Browsers can send forms
// and plain text across origins without asking, but never these types.
func (c *call) readBody(op *operation) error {
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		return nil
	}
	limit := int64(bodyLimit)
	if op.Large {
		limit = applyLimit
	}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return model.NewError(model.BodyTooLarge, "The body is larger than "+model.Size(limit).String()+".")
		}
		return model.NewError(model.RequestMalformed, "The body broke off.").WithCause(err)
	}
	if len(c.body) > 0 {
		if err := op.mediaType(c.r.Header); err != nil {
			return err
		}
	}
	switch {
	case op.Takes == nil && len(c.body) > 0:
		return invalid("", "this operation takes no body")
	case op.Takes == nil:
		return nil
	case len(c.body) == 0:
		return model.NewError(model.RequestMalformed, "The body is empty; JSON is expected.")
	}
	return c.parse()
}

func (c *call) parse() error {
	node, f := strict.JSON(c.body)
	if node == nil {
		e := model.NewError(model.RequestMalformed, "The body is not JSON that can be read: "+strings.TrimPrefix(f.Error(), "line 1: ")+".")
		return e
	}
	for _, r := range node.References() {
		f = append(f, model.Fault{Path: r.Path, Line: r.Line,
			Message: "holds ${" + r.Kind + ":…}, which is resolved in files and by the command line, never here; send the value"})
	}
	if len(f) > 0 {
		return &model.Error{Code: model.Invalid, Message: "The body is not valid.", Faults: f}
	}
	c.node = node
	return nil
}

// into reads the body as dst.
func (c *call) into(dst any) error {
	if f := c.node.Into(dst); len(f) > 0 {
		return &model.Error{Code: model.Invalid, Message: "The body is not valid.", Faults: f}
	}
	return nil
}

func (op *operation) mediaType(h http.Header) error {
	want := "application/json"
	if op.Method == http.MethodPatch {
		want = "application/merge-patch+json or application/json"
	}
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return model.NewError(model.UnsupportedMediaType, "Bodies are accepted without Content-Encoding only.")
	}
	types := h.Values("Content-Type")
	if len(types) == 1 {
		t, params, err := mime.ParseMediaType(types[0])
		utf8 := params["charset"] == "" || strings.EqualFold(params["charset"], "utf-8")
		if err == nil && utf8 && (t == "application/json" || t == "application/merge-patch+json" && op.Method == http.MethodPatch) {
			return nil
		}
	}
	return model.NewError(model.UnsupportedMediaType, "Send the body with Content-Type: "+want+".")
}
