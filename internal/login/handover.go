package login

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
)

// A login for another host than externalURL's is made there, and handed over by a
// code that counts once (SPEC 9).
const (
	loanLife = 60 * time.Second
	loanMost = 1 << 14
)

// loan is a session on its way to another host.
type loan struct {
	session, user string
	host          string // as the browser sees it, port included
	bind          string // hash of the cookie that the host set before the login
	ret           string
	until         time.Time
}

type handovers struct {
	mu    sync.Mutex
	codes map[string]*loan // by a hash of the code
	now   func() time.Time
}

func newHandovers(now func() time.Time) *handovers {
	return &handovers{codes: map[string]*loan{}, now: now}
}

func (h *handovers) put(l *loan) (code string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if len(h.codes) >= loanMost {
		for k, old := range h.codes {
			if now.After(old.until) {
				delete(h.codes, k)
			}
		}
	}
	if len(h.codes) >= loanMost {
		return "", false
	}
	code = newText(32)
	l.until = now.Add(loanLife)
	h.codes[hashOf(code)] = l
	return code, true
}

// take gives a loan to whoever names its code first.
func (h *handovers) take(code string) *loan {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := hashOf(code)
	l := h.codes[key]
	delete(h.codes, key)
	if l == nil || h.now().After(l.until) {
		return nil
	}
	return l
}

// lend is the login on another host: it gives this browser a cookie of the host's,
// and sends it home with the cookie's hash.
func (v *visit) lend() error {
	if !served(v.plan, hostname(v.host)) {
		return model.NewError(model.NotFound, "Nothing is served under this name.")
	}
	if v.form != nil {
		return model.NewError(model.NotFound, "People sign in at "+v.desk.External.Host+".")
	}
	ret := checkReturn(v.query.Get("return"), v.origin(), v.desk.External, v.plan)
	if strings.HasPrefix(ret, "/") {
		ret = v.origin() + ret
	}
	q := url.Values{"return": {ret}, "bind": {hashOf(v.binding())}}
	if p := v.query.Get("provider"); p != "" {
		q.Set("provider", p)
	}
	return v.redirect(v.base(pathLogin) + "?" + q.Encode())
}

// borrower is for which other host a login is, and the hash of that host's cookie;
// "" = it is for this host.
func (v *visit) borrower(ret string) (host, bind string) {
	if bind = v.query.Get("bind"); bind == "" && v.form != nil {
		bind = v.form.Get("bind")
	}
	u, err := url.Parse(ret)
	if err != nil || u.Host == "" || strings.EqualFold(u.Host, v.desk.External.Host) || len(bind) > 64 {
		return "", ""
	}
	return strings.ToLower(u.Host), bind
}

// handOver sends a browser that has signed in here to the host that it came for.
func (v *visit) handOver(l *loan) error {
	if l.bind == "" { // nobody lent it yet: the other host sends the browser here again
		return v.redirect(l.ret)
	}
	code, ok := v.desk.handover.put(l)
	if !ok {
		return &model.Error{Code: model.Overloaded, RetryAfter: 5, Message: "Too many logins are under way."}
	}
	return v.redirect(v.desk.External.Scheme + "://" + l.host + pathHandover + "?" + url.Values{"code": {code}}.Encode())
}

// arrive begins the session on the host that it was lent to.
func (v *visit) arrive() error {
	if v.r.Method != http.MethodGet {
		return &model.Error{Code: model.MethodNotAllowed, Message: "A browser comes here by GET.", Allow: []string{"GET"}}
	}
	l := v.desk.handover.take(v.query.Get("code"))
	if l == nil || !strings.EqualFold(l.host, v.host) || !equal(l.bind, hashOf(v.cookie(loginCookie))) || !served(v.plan, hostname(v.host)) {
		return v.redirect("/") // from there a login begins anew, where one is needed
	}
	ctx := v.r.Context()
	r, keep, err := v.desk.Sessions.Record(ctx, l.session)
	if err != nil {
		return (&model.Error{Code: model.IdentityUnavailable, RetryAfter: 5, Message: "The session cannot be looked up at the moment."}).WithCause(err)
	}
	if r == nil || !v.desk.Sessions.Runs(l.session) {
		return v.redirect("/")
	}
	who, err := v.desk.Users(ctx, l.user)
	if err != nil || who == nil {
		return (&model.Error{Code: model.IdentityUnavailable, RetryAfter: 5, Message: "The user cannot be looked up at the moment."}).WithCause(err)
	}
	if !who.User.Active {
		return model.NewError(model.CredentialInvalid, "The account may not sign in.")
	}
	s, _ := v.desk.Sessions.Find(ctx, v.cookie(sessionCookie), v.now)
	cookie, begun, err := v.desk.Sessions.Begin(ctx, &session.Login{User: &who.User, Credential: r.Credential, Provider: r.Provider, Method: r.Method,
		Subject: r.Subject, SID: r.SID, Claims: claimsOf(r.Claims), Keep: keep, Refresh: r.Refresh, Expires: r.ExpiresAt, ClientIP: v.clientIP(), UserAgent: v.r.UserAgent()})
	if err != nil {
		return err
	}
	if s != nil {
		_, _ = v.desk.Sessions.End(ctx, session.Which{ID: s.ID})
	}
	v.signIn(cookie, who.User.ID, begun.ID)
	return v.redirect(l.ret)
}
