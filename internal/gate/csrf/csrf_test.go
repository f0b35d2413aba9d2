package csrf

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

var check = New([]byte("0123456789abcdef0123456789abcdef"))

func facts(method string, pairs ...string) *Facts {
	f := &Facts{Method: method, Scheme: "https", Host: "api.example.com", Binding: "alice"}
	for i := 0; i < len(pairs); i += 2 {
		f.Fields = append(f.Fields, model.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return f
}

func code(e *model.Error) model.Code {
	if e == nil {
		return ""
	}
	return e.Code
}

func TestVerify(t *testing.T) {
	token := check.Token("alice")
	other := check.Token("bob")
	cookie := Cookie + "=" + token
	origin := []string{"Origin", "https://api.example.com"}
	with := func(pairs ...string) []string { return append(append([]string{}, origin...), pairs...) }
	for _, c := range []struct {
		name   string
		method string
		fields []string
		want   model.Code
	}{
		{"curl shows no browser and needs no token", "POST", nil, ""},
		{"a safe method needs no token", "GET", origin, ""},
		{"a safe method from elsewhere passes: it must not change anything", "GET", []string{"Origin", "https://evil.example"}, ""},
		{"token in header and cookie", "POST", with("X-CSRF-Token", token, "Cookie", cookie), ""},
		{"token among other cookies", "PUT", with("x-csrf-token", token, "Cookie", "a=b; "+cookie+"; c=d"), ""},
		{"no header", "POST", with("Cookie", cookie), model.CSRFFailed},
		{"no cookie", "POST", with("X-CSRF-Token", token), model.CSRFFailed},
		{"neither", "DELETE", origin, model.CSRFFailed},
		{"they differ", "POST", with("X-CSRF-Token", other, "Cookie", cookie), model.CSRFFailed},
		{"equal but not ours: naive double submit (GHSA-rc4q-9m69-gqp8)", "POST", with("X-CSRF-Token", "x", "Cookie", Cookie+"=x"), model.CSRFFailed},
		{"somebody else's pair", "POST", with("X-CSRF-Token", other, "Cookie", Cookie+"="+other), model.CSRFFailed},
		{"two cookies: one was tossed", "POST", with("X-CSRF-Token", token, "Cookie", cookie+"; "+Cookie+"="+other), model.CSRFFailed},
		{"two headers", "POST", with("X-CSRF-Token", token, "X-CSRF-Token", token, "Cookie", cookie), model.CSRFFailed},
		{"the prefix misspelt (GHSA-jjmg-x456-w976)", "POST", with("X-CSRF-Token", token, "Cookie", "Host__sallyport-csrf="+token), model.CSRFFailed},
		{"another origin, even with a token", "POST", []string{"Origin", "https://evil.example", "X-CSRF-Token", token, "Cookie", cookie}, model.OriginRefused},
		{"a neighbour that ends alike", "POST", []string{"Origin", "https://evilapi.example.com"}, model.OriginRefused},
		{"another scheme", "POST", []string{"Origin", "http://api.example.com"}, model.OriginRefused},
		{"another port", "POST", []string{"Origin", "https://api.example.com:8443"}, model.OriginRefused},
		{"the default port spelled out is the same origin", "POST", []string{"Origin", "https://API.example.com:443", "X-CSRF-Token", token, "Cookie", cookie}, ""},
		{"null", "POST", []string{"Origin", "null"}, model.OriginRefused},
		{"two origins", "POST", with("Origin", "https://api.example.com"), model.OriginRefused},
		{"cross-site without Origin", "POST", []string{"Sec-Fetch-Site", "cross-site"}, model.OriginRefused},
		{"same-site is not same-origin", "POST", []string{"Sec-Fetch-Site", "same-site"}, model.OriginRefused},
		{"same-origin by fetch metadata still needs the token", "POST", []string{"Sec-Fetch-Site", "same-origin"}, model.CSRFFailed},
		{"a foreign referer", "POST", []string{"Referer", "https://evil.example/api.example.com"}, model.OriginRefused},
		{"a cookie alone shows a browser", "POST", []string{"Cookie", "a=b"}, model.CSRFFailed},
	} {
		if got := code(check.Verify(facts(c.method, c.fields...))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestASessionAlwaysNeedsTheToken(t *testing.T) {
	f := facts("POST")
	f.Session = true
	if got := code(check.Verify(f)); got != model.CSRFFailed {
		t.Errorf("%q", got)
	}
}

func TestOriginsOfTheRoutesCORSAreAllowed(t *testing.T) {
	token := check.Token("alice")
	f := facts("POST", "Origin", "https://app.example.com", "X-CSRF-Token", token, "Cookie", Cookie+"="+token)
	if got := code(check.Verify(f)); got != model.OriginRefused {
		t.Errorf("not listed: %q", got)
	}
	f.Origins = []string{"https://app.example.com"}
	if got := code(check.Verify(f)); got != "" {
		t.Errorf("listed: %q", got)
	}
	f.Origins = []string{"*"}
	if got := code(check.Verify(f)); got != model.OriginRefused {
		t.Errorf("a star lets read, not write: %q", got)
	}
}

// code-server and others: the origin of a handshake was not looked at.
func TestWebSocketHandshakesNeedAnAllowedOriginAndNoTokenWhateverIsSwitchedOff(t *testing.T) {
	for _, disabled := range []bool{false, true} {
		f := facts("GET", "Origin", "https://evil.example")
		f.WebSocket, f.Disabled = true, disabled
		if got := code(check.Verify(f)); got != model.OriginRefused {
			t.Errorf("disabled %v, foreign origin: %q", disabled, got)
		}
		f = facts("GET", "Origin", "https://api.example.com")
		f.WebSocket, f.Disabled = true, disabled
		if got := code(check.Verify(f)); got != "" {
			t.Errorf("disabled %v, own origin: %q", disabled, got)
		}
	}
}

func TestDisabledSwitchesOffTheTokenAndTheOriginOfOrdinaryRequests(t *testing.T) {
	f := facts("POST", "Origin", "https://evil.example")
	f.Disabled = true
	if got := code(check.Verify(f)); got != "" {
		t.Errorf("%q", got)
	}
}

func TestTheCookieIsSetForBrowsersThatLackIt(t *testing.T) {
	if c := check.SetCookie(facts("GET")); c != "" {
		t.Errorf("curl gets %q", c)
	}
	raw := check.SetCookie(facts("GET", "Sec-Fetch-Site", "none"))
	c, err := http.ParseSetCookie(raw)
	if err != nil || c.Name != Cookie || c.Value != check.Token("alice") || !c.Secure || c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("%q: %v %v", raw, c, err)
	}
	if got := check.SetCookie(facts("GET", "Cookie", Cookie+"="+check.Token("alice"))); got != "" {
		t.Errorf("set again: %q", got)
	}
	if again := check.Token("alice"); again != check.Token("alice") || check.Token("alice") == check.Token("bob") {
		t.Error("the token is not steady, or not bound")
	}
	if strings.ContainsAny(check.Token("alice"), "+/=;, ") {
		t.Error("the token does not fit a cookie")
	}
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://api.example.com", "https://api.example.com@evil", "https://[::1]:443", "null", "https://api.example.com.", "javascript://api.example.com", "https://API.EXAMPLE.COM:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		fs := facts("POST")
		if !fs.known(origin) {
			return
		}
		l := strings.ToLower(origin)
		switch l {
		case "https://api.example.com", "https://api.example.com:443", "https://api.example.com.", "https://api.example.com.:443", "https://api.example.com:":
		default:
			t.Errorf("%q is taken for the request's own origin", origin)
		}
	})
}
