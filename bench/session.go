package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// session is a browser that has signed in. No peer keeps sessions.
func session(ctx context.Context, l *lab, r *result) ([]*result, error) {
	var faults error
	at := func(g *gateway) work {
		cookie, err := g.signIn(ctx, l.cred)
		faults = errors.Join(faults, err)
		return work{url: "http://" + g.plain + "/session/orders/42", conns: l.o.conns, header: []string{"Cookie: " + cookie},
			refused: []string{"Cookie: __Host-sallyport=" + strings.Repeat("A", 54)}}
	}
	results, err := l.contest(ctx, r, at, func(_, _ *peer) []contestant { return nil })
	return results, errors.Join(faults, err)
}

var formToken = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// signIn is a person at the login page; it answers the cookies that its browser
// sends from then on. The listener is a plain one, so cookies are carried by hand.
func (g *gateway) signIn(ctx context.Context, c *credentials) (string, error) {
	page, cookies, err := g.visit(ctx, "GET", "", nil)
	if err != nil {
		return "", err
	}
	token := formToken.FindStringSubmatch(page)
	if token == nil {
		return "", errors.New("the login page has no form")
	}
	form := url.Values{"username": {c.user}, "password": {c.password}, "return": {"/session"}, "csrf": {token[1]}}
	_, cookies, err = g.visit(ctx, "POST", cookies, form)
	if err == nil && !strings.Contains(cookies, "__Host-sallyport=") {
		err = errors.New("nobody could sign in")
	}
	return cookies, err
}

func (g *gateway) visit(ctx context.Context, method, cookies string, form url.Values) (page, set string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+g.plain+"/.sallyport/login", strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", err
	}
	r.Host = "bench.example.com"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://bench.example.com")
		r.Header.Set("Cookie", cookies)
	}
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return "", "", fmt.Errorf("signing in: %w", err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	var list []string
	for _, c := range a.Cookies() {
		list = append(list, c.Name+"="+c.Value)
	}
	return string(body), strings.Join(list, "; "), err
}
