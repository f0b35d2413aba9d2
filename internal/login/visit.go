package login

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/problem"
)

// Proof is what the gate is given of whom a provider vouches for.
type Proof = authn.Proof

// mostForm bounds what a page or a provider may post.
const mostForm = 512 << 10

// visit is one request to the desk.
type visit struct {
	desk  *Desk
	w     http.ResponseWriter
	r     *http.Request
	plan  *gate.Plan
	now   time.Time
	query url.Values
	form  url.Values // of a POST
	again string     // where the person starts over if this fails
	from  netip.Addr // the client's address …
	host  string     // … and the host it asked, port included, behind proxies that are trusted
}

// headers go with every answer of the desk: nothing here is anybody else's to keep
// or to frame.
func (v *visit) headers() {
	h := v.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
}

func (v *visit) parse() (err error) {
	malformed := func(what string) error {
		return model.NewError(model.RequestMalformed, what)
	}
	switch v.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		return &model.Error{Code: model.MethodNotAllowed, Message: "This page is read by GET and sent by POST.", Allow: []string{"GET", "HEAD", "POST"}}
	}
	if v.query, err = url.ParseQuery(v.r.URL.RawQuery); err != nil {
		return malformed("The address's query is not well-formed.")
	}
	if v.r.Method != http.MethodPost {
		return single(v.query)
	}
	kind, _, _ := strings.Cut(v.r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return model.NewError(model.UnsupportedMediaType, "This page takes forms (application/x-www-form-urlencoded).")
	}
	body, err := io.ReadAll(io.LimitReader(v.r.Body, mostForm+1))
	switch {
	case err != nil:
		return malformed("The form could not be read.")
	case len(body) > mostForm:
		return model.NewError(model.BodyTooLarge, "The form is too large.")
	}
	if v.form, err = url.ParseQuery(string(body)); err != nil {
		return malformed("The form is not well-formed.")
	}
	return errors.Join(single(v.query), single(v.form))
}

// single refuses parameters that are given twice: two readers might take one each.
func single(q url.Values) error {
	for name, values := range q {
		if len(values) > 1 {
			return model.NewError(model.RequestMalformed, "The parameter "+clean(name)+" is given more than once.")
		}
	}
	return nil
}

// clean is a name as it may be shown.
func clean(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// fail answers with what went wrong: a page for people, a problem document else.
func (v *visit) fail(err error) {
	e := model.AsError(err)
	id := v.w.Header().Get("X-Request-Id")
	fields := v.fields()
	a := problem.Render(e, problem.Facts{RequestID: id, HTML: problem.WantsHTML("GET", fields), Head: v.r.Method == http.MethodHead, Again: v.again})
	for _, f := range a.Fields {
		if f.Name == "WWW-Authenticate" && v.form != nil {
			continue // a page asked; the browser's own box would only confuse
		}
		v.w.Header().Set(f.Name, f.Value)
	}
	if e.Err != nil {
		v.desk.Log.Info("a login was refused", "code", string(e.Code), "cause", e.Err)
	}
	v.w.WriteHeader(a.Status)
	_, _ = v.w.Write(a.Body)
}

func (v *visit) fields() (list []model.Field) {
	for name, values := range v.r.Header {
		for _, s := range values {
			list = append(list, model.Field{Name: name, Value: s})
		}
	}
	return list
}

// cookie is the value of one of the gateway's cookies; "" where there is none, or
// where there are two that differ, of which one was planted.
func (v *visit) cookie(name string) string {
	value := ""
	for _, c := range v.r.CookiesNamed(name) {
		if value != "" && c.Value != value {
			return ""
		}
		value = c.Value
	}
	return value
}

func (v *visit) setCookie(name, value string, site http.SameSite) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: site}
	if value == "" {
		c.MaxAge = -1
	}
	v.w.Header().Add("Set-Cookie", c.String())
}

// redirect sends the browser on by GET.
func (v *visit) redirect(to string) error {
	status := http.StatusFound
	if v.r.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(status)
	return nil
}

// findClient finds out who is asking, as the gate does for every other request: the peer,
// or whom a trusted proxy names.
func (v *visit) findClient() {
	r := model.Request{Host: v.r.Host, Fields: v.fields()}
	if a, err := netip.ParseAddrPort(v.r.RemoteAddr); err == nil {
		r.Peer = a.Addr().Unmap()
	}
	v.from, v.host = v.plan.Caller(&r)
}

// clientIP is the client's address, for people to read.
func (v *visit) clientIP() string {
	if !v.from.IsValid() {
		return v.r.RemoteAddr
	}
	return v.from.String()
}

// home says whether the request came to the host at which providers know the gateway.
func (v *visit) home() bool {
	return strings.EqualFold(hostname(v.host), v.desk.External.Hostname())
}

// origin is the origin under which the browser sees this host.
func (v *visit) origin() string {
	if v.home() {
		return v.desk.External.Scheme + "://" + v.desk.External.Host
	}
	return v.desk.External.Scheme + "://" + v.host
}

// base is externalURL as an absolute address of one of the gateway's own paths.
func (v *visit) base(path string) string {
	return v.desk.External.Scheme + "://" + v.desk.External.Host + path
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// current is the session that the browser has here, with its user; nil = none.
func (v *visit) current(ctx context.Context) (*directory.Session, *directory.Principal, error) {
	cookie := v.cookie(sessionCookie)
	if cookie == "" {
		return nil, nil, nil
	}
	unavailable := func(err error) error {
		return (&model.Error{Code: model.IdentityUnavailable, RetryAfter: 5, Message: "Sessions cannot be looked up at the moment."}).WithCause(err)
	}
	s, err := v.desk.Sessions.Find(ctx, cookie, v.now)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	if s == nil || !v.vouched(s.Provider) {
		return nil, nil, nil
	}
	who, err := v.desk.Users(ctx, s.UserID)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	if who == nil || !who.User.Active || who.User.ExpiresAt != nil && !v.now.Before(*who.User.ExpiresAt) {
		return nil, nil, nil
	}
	if s.Credential != "" {
		if c := who.Credential(s.Credential); c == nil || c.ExpiresAt != nil && !v.now.Before(*c.ExpiresAt) {
			return nil, nil, nil
		}
	}
	return s, who, nil
}

// vouched says whether a session's provider is there and switched on.
func (v *visit) vouched(provider string) bool {
	return provider == "" || v.provider(provider) != nil
}

// provider is the provider of that name, nil where it is not there or switched off.
func (v *visit) provider(name string) *model.IdentityProvider {
	list := v.plan.Set.IdentityProviders
	for i := range list {
		if p := &list[i]; p.Name == name && p.Enabled {
			return p
		}
	}
	return nil
}
