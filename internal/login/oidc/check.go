package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/model"
)

// Report is what Check found out about a provider.
type Report struct {
	Provider string    `json:"provider"`
	OK       bool      `json:"ok"` // nothing that stands in the way of a login
	Findings []Finding `json:"findings"`
}

// Finding is one thing that was looked at.
type Finding struct {
	Level  Level       `json:"level"`
	About  string      `json:"about"` // discovery, keys, client, …
	Says   string      `json:"says"`
	Remedy string      `json:"remedy,omitempty"`
	Cause  fetch.Cause `json:"cause,omitempty"`
}

// Level is how much a finding matters.
type Level string

// The levels.
const (
	LevelGood    Level = "good"
	LevelWarning Level = "warning" // logins work, but something is missing or weak
	LevelFault   Level = "fault"   // logins do not work
)

func (r *Report) add(l Level, about, says, remedy string) {
	r.Findings = append(r.Findings, Finding{Level: l, About: about, Says: says, Remedy: remedy})
	r.OK = r.OK && l != LevelFault
}

// Check asks a provider freshly, whatever is known of it already, and says in words
// what is wrong and what to do. It changes nothing and keeps nothing.
func (r *Party) Check(ctx context.Context, p *model.IdentityProvider) Report {
	rep := &Report{Provider: p.Name, OK: true}
	if p.Type != model.ProviderOIDC {
		rep.add(LevelFault, "type", "the provider is of type "+string(p.Type), "Check providers of this type where they are handled.")
		return *rep
	}
	m, answer, err := discover(ctx, r.http, p.Issuer)
	if answer != nil {
		rep.clock(clockOf(answer.Header, r.o.Now()))
	}
	if err != nil {
		rep.trouble("discovery", err, discoveryRemedy(err))
		return *rep
	}
	rep.add(LevelGood, "discovery", "the document at "+documentURL(p.Issuer)+" is the issuer's", "")
	if keys, err := r.o.Keys.Fetch(ctx, p); err != nil {
		rep.trouble("keys", err, remedies[fetch.CauseOf(err)])
	} else {
		rep.add(LevelGood, "keys", fmt.Sprintf("%d usable keys at %s", len(keys.Keys), m.keys), "")
	}
	rep.capabilities(p, m)
	if rep.OK {
		r.checkClient(ctx, p, m, rep)
	}
	return *rep
}

func (r *Report) trouble(about string, err error, remedy string) {
	r.add(LevelFault, about, err.Error(), remedy)
	r.Findings[len(r.Findings)-1].Cause = fetch.CauseOf(err)
}

func (r *Report) clock(off time.Duration, told bool) {
	switch {
	case !told:
		r.add(LevelWarning, "clock", "the provider's answers do not tell its time", "")
	case off > skew || off < -skew:
		r.add(LevelFault, "clock", fmt.Sprintf("the provider's clock is %v off ours; up to %v are tolerated", off, skew),
			"Set the clocks of this machine and of the provider by NTP.")
	default:
		r.add(LevelGood, "clock", fmt.Sprintf("the provider's clock is within %v of ours", max(off, -off, time.Second)), "")
	}
}

// remedies say where to look, by the kind of trouble.
var remedies = map[fetch.Cause]string{
	fetch.CauseDNS:      "Check the host's name in issuer, and that this machine resolves it.",
	fetch.CauseConnect:  "Check that the provider runs, and that a firewall or proxy lets this machine reach it.",
	fetch.CauseTimeout:  "The provider takes too long, or something on the way swallows packets: try the URL from this machine.",
	fetch.CauseTLS:      "Check the provider's certificate: its name, its dates, and that this machine trusts who issued it.",
	fetch.CauseHTTP:     "Check issuer: often a path (a realm, a tenant) belongs to it. Take it from the provider's own discovery document.",
	fetch.CauseDocument: "Open the URL from this machine and compare it with what the provider's documentation shows.",
}

func discoveryRemedy(err error) string {
	var other *issuerError
	if !errors.As(err, &other) {
		return remedies[fetch.CauseOf(err)]
	}
	if strings.ContainsAny(other.got, "{}") {
		return "That is a pattern for many tenants. Set issuer to the one of your own tenant."
	}
	return "Set issuer to exactly " + quote(other.got) + " if that is the provider you mean: every character counts, a slash at the end too."
}

// capabilities holds the document against what is configured.
func (r *Report) capabilities(p *model.IdentityProvider, m *metadata) {
	if len(m.algorithms) == 0 {
		r.add(LevelFault, "algorithms", "the provider signs id tokens by no algorithm that is accepted",
			"Have it sign by one of "+strings.Join(model.JWTAlgorithms(), ", ")+".")
	}
	if m.responseTypes != nil && !slices.Contains(m.responseTypes, "code") {
		r.add(LevelFault, "flow", "the provider does not announce the authorization code flow", "Allow the response type code there.")
	}
	if m.pkce != nil && !slices.Contains(m.pkce, "S256") {
		r.add(LevelWarning, "pkce", "the provider does not announce PKCE with S256; it is used all the same, and may be ignored there", "")
	}
	if !m.announcesIss {
		r.add(LevelWarning, "iss", "the provider does not name itself in its answers (RFC 9207), so a mix-up with another provider is harder to see", "")
	}
	if p.UserInfo && m.userInfo == nil {
		r.add(LevelFault, "userInfo", "userInfo is on and the provider has no userinfo_endpoint", "Take userInfo away.")
	}
	for _, s := range strings.Fields(scope(p)) {
		if m.scopes != nil && !slices.Contains(m.scopes, s) {
			r.add(LevelWarning, "scopes", "the provider does not announce the scope "+quote(s), "See requestScopes.")
		}
	}
	if m.endSession == nil {
		r.add(LevelWarning, "logout", "the provider has no end_session_endpoint: a logout here leaves people signed in there", "")
	}
	if !m.backChannel {
		r.add(LevelWarning, "logout", "the provider does not announce back-channel logout: a logout there ends no session here before it is refreshed", "")
	}
}

// checkClient tries the client's credentials on the token endpoint with a code that
// nobody gave: a provider that refuses only the code has accepted the client.
func (r *Party) checkClient(ctx context.Context, p *model.IdentityProvider, m *metadata, rep *Report) {
	if ways := r.ways(p, m); m.tokenAuth != nil && !slices.Contains(m.tokenAuth, ways[0]) {
		rep.add(LevelWarning, "client", "the provider does not announce "+ways[0]+", but "+strings.Join(m.tokenAuth, ", "),
			"Give clientKeyFile for private_key_jwt, clientSecret for the others.")
	}
	if err := r.CheckFile(p); err != nil {
		rep.add(LevelFault, "client", err.Error(), "See clientKeyFile.")
		return
	}
	answer, way, err := r.send(ctx, p, m, url.Values{"grant_type": {"authorization_code"}, "code": {"sallyport-provider-check"},
		"redirect_uri": {"https://sallyport.invalid" + callback}, "code_verifier": {strings.Repeat("x", 43)}})
	if err != nil {
		rep.trouble("client", err, remedies[fetch.CauseOf(err)])
		return
	}
	code, _ := refusalOf(answer)
	switch {
	case code == "invalid_grant":
		rep.add(LevelGood, "client", "the provider accepts the client by "+way, "")
	case code == "invalid_client" || answer.Status == 401:
		rep.add(LevelFault, "client", "the provider refuses the client by "+way,
			"Compare clientID and clientSecret (or the public half of clientKeyFile) with the registration there, and its way of client authentication.")
	case code == "unauthorized_client":
		rep.add(LevelFault, "client", "the client may not use the authorization code flow", "Allow the grant type authorization_code in its registration.")
	default:
		rep.add(LevelWarning, "client", fmt.Sprintf("the token endpoint answered %d, %s: nobody can tell whether it accepts the client", answer.Status, quote(code)), "")
	}
}
