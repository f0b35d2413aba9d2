package gate

import (
	"net/url"

	"github.com/sallyport/sallyport/internal/model"
)

// LoginPath is where browsers sign in, on every host.
const LoginPath = "/.sallyport/login"

// browserLogin says whether anybody can sign in by a browser.
func (p *Plan) browserLogin() bool {
	if p.Set.Settings.Sessions.PasswordLogin {
		return true
	}
	for i := range p.Set.IdentityProviders {
		if pr := &p.Set.IdentityProviders[i]; pr.Enabled && pr.BrowserLogin() {
			return true
		}
	}
	return false
}

// login is the address of the login that a route with this requirement sends
// browsers to, up to the return path: at the provider that the route asks for,
// where it asks for one alone.
func (p *Plan) login(want *model.Requirement) string {
	found, provider, several := false, "", false
	want.Leaves(func(l *model.Requirement) {
		if l.Method != model.MethodSession {
			return
		}
		several = several || found && l.Provider != provider
		found, provider = true, l.Provider
	})
	switch {
	case !found || !p.browserLogin():
		return ""
	case provider == "" || several:
		return LoginPath + "?return="
	}
	return LoginPath + "?provider=" + url.QueryEscape(provider) + "&return="
}
