//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/saml"
	"github.com/sallyport/sallyport/internal/model"
)

// samlService is as little of a gateway as the protocol needs: it keeps one attempt,
// and says what was proven.
type samlService struct {
	t        *testing.T
	sp       *saml.ServiceProvider
	provider *model.IdentityProvider
	base     *url.URL
	skew     time.Duration

	mu      sync.Mutex
	login   *flow.Attempt
	logout  *flow.Attempt
	who     *flow.Identity
	last    *flow.Return
	ended   []*flow.Ended
	refusal error
}

func startSAMLService(t *testing.T, idp *samlIDP) *samlService {
	t.Helper()
	s := &samlService{t: t, provider: &model.IdentityProvider{Name: "school", Type: model.ProviderSAML, MetadataURL: idp.metadataURL()}}
	s.provider.Defaults()
	s.sp = saml.New(saml.Options{Dir: t.TempDir(), CoolDown: time.Millisecond, Now: func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Now().Add(s.skew)
	}})
	t.Cleanup(s.sp.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		a := s.attempt("login")
		s.mu.Lock()
		s.login = a
		s.mu.Unlock()
		d, err := s.sp.Begin(r.Context(), a)
		s.depart(w, r, d, err)
	})
	mux.HandleFunc("GET /logout", func(w http.ResponseWriter, r *http.Request) {
		a := s.attempt("logout")
		s.mu.Lock()
		s.logout = a
		keep := s.who.Keep
		s.mu.Unlock()
		d, err := s.sp.End(r.Context(), a, keep, nil)
		s.depart(w, r, d, err)
	})
	mux.HandleFunc("POST /.sallyport/saml/school/acs", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.mu.Lock()
		s.last = &flow.Return{Request: r, Form: r.PostForm}
		a := s.login
		s.mu.Unlock()
		if a == nil || r.PostForm.Get("RelayState") != a.State {
			a = &flow.Attempt{Provider: s.provider, Base: s.base}
		}
		id, err := s.sp.Finish(r.Context(), a, s.last)
		s.mu.Lock()
		s.who, s.refusal = id, err
		s.mu.Unlock()
		s.tell(w, id, err)
	})
	mux.HandleFunc("/.sallyport/saml/school/slo", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		a := s.logout
		if a == nil || r.Form.Get("RelayState") != a.State {
			a = &flow.Attempt{Provider: s.provider, Base: s.base}
		}
		ended, d, err := s.sp.Logout(r.Context(), a, &flow.Return{Request: r, Query: r.URL.Query(), Form: r.PostForm})
		if ended != nil {
			s.mu.Lock()
			s.ended = append(s.ended, ended)
			s.mu.Unlock()
		}
		if err != nil || d == nil {
			s.tell(w, "signed out", err)
			return
		}
		s.depart(w, r, d, nil)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.base, _ = url.Parse(server.URL)
	metadata, err := s.sp.Metadata(s.provider, s.base)
	if err != nil {
		t.Fatal(err)
	}
	idp.admit(t, string(metadata))
	return s
}

func (s *samlService) attempt(what string) *flow.Attempt {
	return &flow.Attempt{Provider: s.provider, Base: s.base, State: "state of the " + what, Secret: strings.Repeat("s", 43), Began: time.Now()}
}

func (s *samlService) depart(w http.ResponseWriter, r *http.Request, d *flow.Departure, err error) {
	if err != nil || d == nil {
		s.tell(w, d, err)
		return
	}
	if d.Form == nil {
		http.Redirect(w, r, d.URL, http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte(`<form method=post action="` + d.URL + `">`))
	for k := range d.Form {
		_, _ = w.Write([]byte(`<input type=hidden name="` + k + `" value="` + d.Form.Get(k) + `">`))
	}
}

func (s *samlService) tell(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), model.AsError(err).Code.Status())
		return
	}
	_ = json.NewEncoder(w).Encode(v)
}

// signIn goes the whole way of a browser, as somebody.
func (s *samlService) signIn(p *person, who string) *flow.Identity {
	s.t.Helper()
	form := p.get(s.base.String() + "/login")
	if who != "" {
		form = p.submit(form, "username", who, "password", "of "+who)
	}
	if form.form.Get("SAMLResponse") == "" {
		s.t.Fatalf("no response at %s: %s", form.url, tail(form.text, 3000))
	}
	p.submit(form)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil {
		s.t.Fatalf("refused: %v", s.refusal)
	}
	return s.who
}

func TestSAMLSignInAndOutBySimpleSAMLphp(t *testing.T) {
	idp := startSAMLIDP(t)
	s := startSAMLService(t, idp)
	p := newPerson(t)
	status, err := s.sp.Check(context.Background(), s.provider)
	if err != nil || !status.Healthy || status.EntityID != idp.base+"/entity" || len(status.Certificates) != 1 {
		t.Fatalf("check: %+v, %v", status, err)
	}
	who := s.signIn(p, "anna")
	if who.Subject != "anna" || who.Claims["mail"] != "anna@example.com" || who.SID == "" || who.Once == "" || who.Expires.Before(time.Now()) {
		t.Errorf("got %+v", who)
	}
	if groups, _ := who.Claims["groups"].([]any); len(groups) != 2 {
		t.Errorf("groups: %v", who.Claims["groups"])
	}
	t.Run("what came was encrypted and signed", func(t *testing.T) {
		b := decodeBase64(t, s.last.Form.Get("SAMLResponse"))
		if !strings.Contains(b, "EncryptedAssertion") || strings.Contains(b, "anna@example.com") || !strings.Contains(b, "SignatureValue") {
			t.Error(b)
		}
	})
	t.Run("single sign-on needs no second password", func(t *testing.T) {
		if again := s.signIn(p, ""); again.Subject != "anna" || again.Once == who.Once {
			t.Errorf("got %+v", again)
		}
	})
	t.Run("changed on its way", func(t *testing.T) {
		raw := decodeBase64(t, s.last.Form.Get("SAMLResponse"))
		for _, evil := range []string{strings.Replace(raw, "Success", "Succes", 1), strings.Replace(raw, "CipherValue>", "CipherValue>A", 1)} {
			form := url.Values{"SAMLResponse": {encodeBase64(evil)}}
			if id, err := s.sp.Finish(context.Background(), s.login, &flow.Return{Request: s.last.Request, Form: form}); err == nil {
				t.Errorf("taken: %+v", id)
			}
		}
	})
	t.Run("for another login", func(t *testing.T) {
		other := *s.login
		other.Secret = strings.Repeat("t", 43)
		if _, err := s.sp.Finish(context.Background(), &other, s.last); model.AsError(err).Code != model.CredentialInvalid {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a logout that begins here ends there", func(t *testing.T) {
		done := p.get(s.base.String() + "/logout")
		if done.status != http.StatusOK || !strings.Contains(done.text, "signed out") {
			t.Fatalf("got %d at %s: %s", done.status, done.url, tail(done.text, 3000))
		}
		if form := p.get(s.base.String() + "/login"); form.form.Get("SAMLResponse") != "" {
			t.Error("the provider still knows the browser")
		}
	})
	t.Run("a logout that begins there ends here", func(t *testing.T) {
		who := s.signIn(p, "bert")
		done := p.get(idp.base + "/saml2/idp/initSLO.php?RelayState=" + url.QueryEscape(idp.metadataURL()))
		if len(s.ended) != 1 || s.ended[0].Subject != "bert" || s.ended[0].SID != who.SID || s.ended[0].ID == "" {
			t.Fatalf("ended: %+v", s.ended)
		}
		if done.status != http.StatusOK || done.url.Path != "/saml2/idp/metadata.php" {
			t.Errorf("the provider did not take the answer: %d at %s: %s", done.status, done.url, tail(done.text, 3000))
		}
	})
}

func decodeBase64(t *testing.T, s string) string {
	t.Helper()
	var b []byte
	if err := json.Unmarshal([]byte(`"`+strings.NewReplacer("\r", "", "\n", "").Replace(s)+`"`), &b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func encodeBase64(s string) string {
	b, _ := json.Marshal([]byte(s))
	return strings.Trim(string(b), `"`)
}

func TestSAMLAtSimpleSAMLphpInOtherWays(t *testing.T) {
	idp := startSAMLIDP(t)
	s := startSAMLService(t, idp)
	old := `'privatekey' => 'idp.pem', 'certificate' => 'idp.crt'`
	t.Run("a request that nobody signed is refused there", func(t *testing.T) {
		d, err := s.sp.Begin(context.Background(), s.attempt("login"))
		if err != nil {
			t.Fatal(err)
		}
		cut, _, _ := strings.Cut(d.URL, "&SigAlg=")
		if page := newPerson(t).get(cut); strings.Contains(page.text, `name="username"`) || !strings.Contains(page.text, "error") {
			t.Errorf("got %d: %s", page.status, tail(page.text, 1000))
		}
	})
	t.Run("the assertion in the clear, and it alone signed", func(t *testing.T) {
		idp.hosted(t, old, `'assertion.encryption' => false, 'saml20.sign.response' => false,`)
		if who := s.signIn(newPerson(t), "anna"); who.Subject != "anna" {
			t.Errorf("got %+v", who)
		}
	})
	t.Run("transient names are refused, with what to do", func(t *testing.T) {
		metadata, err := s.sp.Metadata(s.provider, s.base)
		if err != nil {
			t.Fatal(err)
		}
		idp.admit(t, strings.ReplaceAll(string(metadata), "nameid-format:persistent", "nameid-format:transient"))
		defer idp.admit(t, string(metadata))
		p := newPerson(t)
		p.submit(p.submit(p.get(s.base.String()+"/login"), "username", "anna", "password", "of anna"))
		if s.refusal == nil || !strings.Contains(s.refusal.Error(), "persistent") {
			t.Errorf("got %v", s.refusal)
		}
	})
	t.Run("a login that the provider began", func(t *testing.T) {
		idp.hosted(t, old, "")
		p := newPerson(t)
		begin := idp.base + "/saml2/idp/SSOService.php?spentityid=" + url.QueryEscape(s.base.String()+"/.sallyport/saml/school/metadata")
		p.submit(p.submit(p.get(begin), "username", "anna", "password", "of anna"))
		if s.refusal == nil || model.AsError(s.refusal).Code != model.PermissionDenied {
			t.Errorf("not allowed: %v", s.refusal)
		}
		s.provider.AllowIDPInitiated = true
		p.submit(p.get(begin))
		if s.refusal != nil || s.who.Subject != "anna" {
			t.Errorf("allowed: %v", s.refusal)
		}
	})
	t.Run("a clock that is two minutes behind", func(t *testing.T) {
		s.skew = -2 * time.Minute
		defer func() { s.skew = 0 }()
		p := newPerson(t)
		p.submit(p.submit(p.get(s.base.String()+"/login"), "username", "anna", "password", "of anna"))
		if s.refusal == nil || !strings.Contains(s.refusal.Error(), "clock") {
			t.Errorf("got %v", s.refusal)
		}
	})
	t.Run("a new certificate", func(t *testing.T) {
		idp.hosted(t, `'privatekey' => 'next.pem', 'certificate' => 'next.crt'`, "")
		if who := s.signIn(newPerson(t), "anna"); who.Subject != "anna" {
			t.Errorf("got %+v", who)
		}
		if st := s.sp.Status(s.provider); len(st.Certificates) != 1 || !strings.Contains(st.Certificates[0].Subject, "next") {
			t.Errorf("got %+v", st)
		}
	})
	t.Run("metadata from a file", func(t *testing.T) {
		answer, err := http.Get(idp.metadataURL())
		if err != nil {
			t.Fatal(err)
		}
		b := newPerson(t).read(answer, err).text
		path := filepath.Join(t.TempDir(), "idp.xml")
		if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		s.provider.MetadataURL, s.provider.MetadataFile = "", path
		if who := s.signIn(newPerson(t), "bert"); who.Subject != "bert" {
			t.Errorf("got %+v", who)
		}
	})
}
