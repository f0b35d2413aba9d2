package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Facts are what an answer needs to know beside the error.
type Facts struct {
	RequestID string
	// HTML asks for a page, as WantsHTML says.
	HTML bool
	// Head leaves the body out.
	Head bool
	// Challenges go into a 401, one WWW-Authenticate field each.
	Challenges []string
	// Login is where the browser is sent to sign in, in the refusal's place; ""
	// = nowhere. SignIn says to whom that fits.
	Login string
	// Again is where a person may start over: the page has a link to it. "" = nowhere.
	Again string
}

// Answer is a whole response but for its framing.
type Answer struct {
	Status int
	Fields []model.Field
	Body   []byte
}

// document is the problem document, its members in the order of SPEC 6.
type document struct {
	Type      string     `json:"type"`
	Title     string     `json:"title"`
	Status    int        `json:"status"`
	Detail    string     `json:"detail"`
	Code      model.Code `json:"code"`
	RequestID string     `json:"requestId"`
	Errors    []entry    `json:"errors,omitempty"`
}

type entry struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// TypePrefix and a code make the type member: a name, not a place to fetch.
const TypePrefix = "urn:sallyport:problem:"

// Render makes the answer to e. An error outside the closed set of codes is
// answered as internal_error with nothing of its text.
func Render(e *model.Error, f Facts) Answer {
	if e == nil || !e.Code.Valid() || e.Code == model.Allowed {
		e = &model.Error{Code: model.Internal, Message: "The gateway met an unexpected fault."}
	}
	a := Answer{Status: e.Code.Status()}
	a.Fields = commonFields(e, f)
	switch {
	case f.Login != "":
		return f.departure(a)
	case f.HTML:
		a.add("Content-Type", "text/html; charset=utf-8")
		a.add("Content-Security-Policy", pagePolicy)
		a.add("Referrer-Policy", "no-referrer")
		a.Body = page(e, f.RequestID, f.Again)
	default:
		a.add("Content-Type", "application/problem+json")
		a.Body = jsonBody(e, f.RequestID)
	}
	if f.Head {
		a.Body = nil
	}
	return a
}

// departure sends a browser to sign in.
func (f Facts) departure(a Answer) Answer {
	d := Answer{Status: http.StatusFound}
	for _, x := range a.Fields {
		if x.Name != "WWW-Authenticate" {
			d.Fields = append(d.Fields, x)
		}
	}
	d.add("Location", f.Login)
	d.add("Vary", "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest")
	return d
}

func jsonBody(e *model.Error, requestID string) []byte {
	d := document{Type: TypePrefix + string(e.Code), Title: title(e.Code), Status: e.Code.Status(),
		Detail: e.Message, Code: e.Code, RequestID: requestID}
	for _, x := range e.Faults {
		d.Errors = append(d.Errors, entry{x.Path, x.Message})
	}
	b, err := json.Marshal(&d)
	if err != nil { // strings and a number: there is nothing to fail
		return []byte("{}")
	}
	return append(b, '\n')
}

func commonFields(e *model.Error, f Facts) []model.Field {
	a := Answer{Fields: make([]model.Field, 0, 10)}
	a.add("X-Request-Id", f.RequestID)
	a.add("Proxy-Status", ProxyStatus(e))
	a.add("Cache-Control", "no-store")
	a.add("X-Content-Type-Options", "nosniff")
	status := e.Code.Status()
	if s := retryAfter(e, status); s > 0 {
		a.add("Retry-After", strconv.Itoa(s))
	}
	if status == http.StatusMethodNotAllowed {
		a.Fields = append(a.Fields, model.Field{Name: "Allow", Value: allow(e.Allow)})
	}
	if status == http.StatusUnauthorized {
		before := len(a.Fields)
		for _, c := range f.Challenges {
			a.add("WWW-Authenticate", c)
		}
		if len(a.Fields) == before { // a 401 has a challenge (RFC 9110, 15.5.2)
			a.add("WWW-Authenticate", `Sallyport realm="sallyport"`)
		}
	}
	return a.Fields
}

// add appends a field unless its value is empty or could split the header.
func (a *Answer) add(name, value string) {
	if value != "" && model.ValidFieldValue(value) {
		a.Fields = append(a.Fields, model.Field{Name: name, Value: value})
	}
}

// allow may be empty, and the field is there all the same: a resource that
// serves no method at all says so (RFC 9110, 10.2.1).
func allow(methods []string) string {
	var ok []string
	for _, m := range methods {
		if model.ValidToken(m) {
			ok = append(ok, m)
		}
	}
	return strings.Join(ok, ", ")
}

// retryAfter is in seconds: what the error says, else a fair guess where the
// status promises the field.
func retryAfter(e *model.Error, status int) int {
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter
	case e.Code == model.AuthenticationDisabled:
		return 30 // until a person switches it on
	case status == http.StatusServiceUnavailable:
		return 5
	case status == http.StatusTooManyRequests:
		return 1
	}
	return 0
}

// Write sends the answer to e by net/http.
func Write(w http.ResponseWriter, e *model.Error, f Facts) {
	a := Render(e, f)
	h := w.Header()
	for _, n := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified", "Location"} {
		h.Del(n) // they spoke of the answer that is not given
	}
	for _, x := range a.Fields {
		h.Del(x.Name)
	}
	for _, x := range a.Fields {
		h.Add(x.Name, x.Value)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that is gone needs no answer
}
