package model

import (
	"net/url"
	"strings"
	"time"
)

// Sessions says how long a login by a browser lasts, and whether users may log in
// with the password that is kept here.
type Sessions struct {
	PasswordLogin bool     `json:"passwordLogin"`
	Idle          Duration `json:"idle"`     // without a request
	Absolute      Duration `json:"absolute"` // since the login
}

// Defaults sets what a left-out field means.
func (s *Sessions) Defaults() {
	*s = Sessions{Idle: Duration(15 * time.Minute), Absolute: Duration(8 * time.Hour)}
}

// The bounds of a session's life.
const (
	shortestSession = Duration(time.Second)
	longestSession  = Duration(90 * 24 * time.Hour)
)

// Validate reports what is wrong with the settings by themselves.
func (s *Sessions) Validate(path string) (f Faults) {
	for _, d := range []struct {
		name string
		v    Duration
	}{{"idle", s.Idle}, {"absolute", s.Absolute}} {
		if d.v < shortestSession || d.v > longestSession {
			f.Add(join(path, d.name), "is between 1s and 2160h")
		}
	}
	if s.Idle > s.Absolute {
		f.Add(join(path, "idle"), "is longer than absolute, which ends the session first")
	}
	return f
}

// Pages gives the gateway's own pages the operator's face.
type Pages struct {
	Title      string `json:"title"`      // of the login page; "" = Sign in
	Stylesheet string `json:"stylesheet"` // URL of a stylesheet, read after the gateway's own
	Logo       string `json:"logo"`       // URL of an image
}

// Validate reports what is wrong with the settings by themselves.
func (p *Pages) Validate(path string) (f Faults) {
	if len(p.Title) > 200 {
		f.Add(join(path, "title"), "is longer than 200 bytes")
	}
	for _, u := range []struct{ name, v string }{{"stylesheet", p.Stylesheet}, {"logo", p.Logo}} {
		if u.v != "" && !validPageURL(u.v) {
			f.Add(join(path, u.name), "is an https URL, or a path on the gateway that a public route serves")
		}
	}
	return f
}

// validPageURL keeps to what a Content-Security-Policy can name.
func validPageURL(s string) bool {
	if strings.ContainsAny(s, " ;,'\"\\") || !plainTarget(s) {
		return false
	}
	if strings.HasPrefix(s, "/") {
		return !strings.HasPrefix(s, "//")
	}
	u, err := url.Parse(s)
	return err == nil && u.User == nil && SecureURL(u)
}

// Session is a browser's login as operators and its owner see it: nothing in it
// opens a door.
type Session struct {
	ID         string    `json:"id"` // a name, not the cookie
	User       string    `json:"user"`
	UserID     string    `json:"userId"`
	Method     string    `json:"method"`             // password, or the type of the provider
	Provider   string    `json:"provider,omitempty"` // who vouched; "" = the password that is kept here
	CreatedAt  time.Time `json:"createdAt"`
	LastSeenAt time.Time `json:"lastSeenAt"`
	ExpiresAt  time.Time `json:"expiresAt"` // the absolute end
	ClientIP   string    `json:"clientIP"`
	UserAgent  string    `json:"userAgent"`
}
