package login

import (
	"net/http"
	"net/url"

	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// way is one way to sign in.
type way struct {
	Name  string // the provider's
	Label string
	URL   string
}

// ways are the browser logins that there are; asked narrows them to one provider.
func (v *visit) ways(asked string) (list []*model.IdentityProvider, password bool) {
	all := v.plan.Set.IdentityProviders
	for i := range all {
		p := &all[i]
		if p.Enabled && p.BrowserLogin() && v.desk.Protocols[p.Type] != nil && (asked == "" || asked == p.Name) {
			list = append(list, p)
		}
	}
	password = v.plan.Set.Settings.Sessions.PasswordLogin && (asked == "" || v.isDirectory(asked))
	return list, password
}

func (v *visit) isDirectory(name string) bool {
	p := v.provider(name)
	return p != nil && p.Type == model.ProviderLDAP
}

// login sends the browser to where it signs in: to the one provider there is, or
// to a page that offers the choice and asks for a password.
func (v *visit) login() error {
	if v.form != nil && v.home() {
		return v.password()
	}
	if v.form == nil {
		v.again = v.r.URL.RequestURI()
	}
	if !v.home() {
		return v.lend()
	}
	ret := checkReturn(v.query.Get("return"), v.origin(), v.desk.External, v.plan)
	asked := v.query.Get("provider")
	host, bind := v.borrower(ret)
	if done, err := v.already(ret, asked, host, bind); done || err != nil {
		return err
	}
	list, password := v.ways(asked)
	switch {
	case len(list) == 0 && !password:
		return model.NewError(model.NotFound, "Nobody can sign in by a browser here: no provider offers it, and passwords are not asked for.")
	case len(list) == 1 && !password:
		return v.depart(list[0], &attempt{Return: ret, Again: v.query.Get("again") != "", Host: host, HostBind: bind})
	}
	return v.choose(list, password, ret, "", "")
}

// already sends a browser that has signed in on its way, so that one login serves
// all hosts. Whom the provider asked for did not vouch for signs in again.
func (v *visit) already(ret, asked, host, bind string) (bool, error) {
	s, who, err := v.current(v.r.Context())
	if err != nil || s == nil || asked != "" && s.Provider != asked {
		return false, err
	}
	if host != "" {
		return true, v.handOver(&loan{session: s.ID, user: who.User.ID, host: host, bind: bind, ret: ret})
	}
	return true, v.redirect(ret)
}

// binding is the browser's login cookie, which is set where it is missing. It may
// come along from a provider's form, so it is no Lax cookie; it opens nothing.
func (v *visit) binding() string {
	if c := v.cookie(loginCookie); len(c) == 32 {
		return c
	}
	c := newText(24)
	v.setCookie(loginCookie, c, http.SameSiteNoneMode)
	return c
}

// depart sends the browser to a provider.
func (v *visit) depart(p *model.IdentityProvider, a *attempt) error {
	a.ID, a.Provider, a.Began, a.Bind = newText(16), p.Name, v.now.Unix(), hashOf(v.binding())
	out, err := v.desk.Protocols[p.Type].Begin(v.r.Context(), v.attemptFor(p, a))
	if err != nil {
		v.desk.note(v, &model.Event{Outcome: "error", Provider: p.Name}, err)
		return err
	}
	return v.leave(p, out)
}

// attemptFor is an attempt that begins, with the state by which it comes back.
func (v *visit) attemptFor(p *model.IdentityProvider, a *attempt) *flow.Attempt {
	if p.Type == model.ProviderSAML {
		return v.desk.attempt(p, a, v.relay(a))
	}
	return v.desk.attempt(p, a, v.desk.states.seal(a))
}

func (v *visit) leave(p *model.IdentityProvider, out *flow.Departure) error {
	if out.Form == nil {
		return v.redirect(out.URL)
	}
	return v.page(http.StatusOK, "post", view{Title: "Continue to " + p.Name, Post: &post{URL: out.URL, Fields: out.Form}, Targets: []string{originOf(out.URL), "https:"}})
}

func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// choose shows the ways to sign in.
func (v *visit) choose(list []*model.IdentityProvider, password bool, ret, username, message string) error {
	bind := v.binding()
	shown := view{Title: "Sign in", Message: message, Username: username, Return: ret}
	if t := v.plan.Set.Settings.Pages.Title; t != "" {
		shown.Title = t
	}
	host, hostBind := v.borrower(ret)
	for _, p := range list {
		q := url.Values{"provider": {p.Name}, "return": {ret}}
		if host != "" {
			q.Set("bind", hostBind)
		}
		shown.Ways = append(shown.Ways, way{Name: p.Name, Label: p.Name, URL: pathLogin + "?" + q.Encode()})
	}
	if password {
		shown.Password, shown.CSRF, shown.HostBind = true, v.desk.states.token(bind), hostBind
		shown.Targets = append(shown.Targets, originOf(ret))
	}
	status := http.StatusOK
	if message != "" {
		status = http.StatusUnauthorized
	}
	return v.page(status, "login", shown)
}

// password signs in with a name and a password.
func (v *visit) password() error {
	if err := v.sameSite(); err != nil {
		return err
	}
	ret := checkReturn(v.form.Get("return"), v.origin(), v.desk.External, v.plan)
	list, allowed := v.ways("")
	if !allowed {
		return model.NewError(model.NotFound, "Passwords are not asked for here.")
	}
	bind := v.cookie(loginCookie)
	if bind == "" || !equal(v.form.Get("csrf"), v.desk.states.token(bind)) {
		// A page that lay open for too long, or a form of another's making: it starts
		// over, and the password that came with it is not looked at.
		return v.choose(list, allowed, ret, "", "This page was open for too long, or your browser keeps no cookies. Please sign in again.")
	}
	username, word := v.form.Get("username"), v.form.Get("password")
	event := &model.Event{Outcome: "denied", User: clean(username)}
	found, err := v.desk.Gate.Password(v.r.Context(), v.plan, username, word, v.now)
	if err != nil {
		v.desk.note(v, event, err)
		if model.AsError(err).Code.Status() == http.StatusUnauthorized {
			return v.choose(list, allowed, ret, username, "The name or the password is wrong, or the account may not sign in.")
		}
		return err
	}
	host, hostBind := v.borrower(ret)
	method := "password"
	if found.Proof.Provider != "" {
		method = string(model.ProviderLDAP)
	}
	return v.enter(found, method, &flow.Identity{Issued: v.now, Claims: found.Proof.Claims, Subject: found.Proof.Subject},
		&attempt{Return: ret, Host: host, HostBind: hostBind})
}

// sameSite refuses a form that a page of another origin sent: before anything else
// of a POST is looked at, session or not.
func (v *visit) sameSite() error {
	form := ""
	f := csrf.Facts{Method: http.MethodPost, Scheme: v.desk.External.Scheme, Host: v.originHost(), Fields: v.fields(), Session: true, Form: &form}
	if e := v.desk.CSRF.Verify(&f); e != nil && e.Code == model.OriginRefused {
		return e
	}
	return nil
}

// originHost is the host, port included, that the browser sees.
func (v *visit) originHost() string {
	if v.home() {
		return v.desk.External.Host
	}
	return v.host
}
