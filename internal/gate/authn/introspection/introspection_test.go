package introspection

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

func provider(name string) *model.IdentityProvider {
	return &model.IdentityProvider{Name: name, Type: model.ProviderIntrospection, Endpoint: "https://idp.example.com/introspect",
		ClientID: "gw:1", ClientSecret: "p%ss+word"}
}

type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(0, c.at.Load()) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }
func fine([]byte) error              { return nil }
func ask(r *Registry, p *model.IdentityProvider) error {
	return r.Ask(context.Background(), p, "token", fine)
}

func TestTheQuestionIsThatOfRFC7662(t *testing.T) {
	var got []string
	var form url.Values
	r := NewRegistry(Options{Post: func(_ context.Context, u, authorization string, f url.Values) ([]byte, error) {
		got, form = []string{u, authorization}, f
		return []byte("answer"), nil
	}})
	var body string
	err := r.Ask(context.Background(), provider("a"), "a+b/c=&token=x", func(b []byte) error { body = string(b); return nil })
	if err != nil || body != "answer" {
		t.Fatal(err, body)
	}
	if got[0] != "https://idp.example.com/introspect" || got[1] != "Basic "+base64.StdEncoding.EncodeToString([]byte("gw%3A1:p%25ss%2Bword")) {
		t.Errorf("asked as %q", got)
	}
	if form.Get("token") != "a+b/c=&token=x" || len(form["token"]) != 1 || form.Get("token_type_hint") != "access_token" {
		t.Errorf("form %q", form)
	}
}

func TestAProviderThatFailsIsLeftAloneAndTriedByOne(t *testing.T) {
	var calls atomic.Int32
	var fault atomic.Pointer[error]
	down := errors.New("connection refused")
	fault.Store(&down)
	c := &clock{}
	r := NewRegistry(Options{Now: c.now, Post: func(context.Context, string, string, url.Values) ([]byte, error) {
		calls.Add(1)
		if e := fault.Load(); e != nil {
			return nil, *e
		}
		return nil, nil
	}})
	p := provider("a")
	for range 100 {
		if err := ask(r, p); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := calls.Load(); n != 3 {
		t.Errorf("100 requests made %d calls to a provider that is down", n)
	}
	if st := r.Status(p); st.Healthy || !st.Paused || !strings.Contains(st.LastError, "refused") || st.LastGood != nil {
		t.Errorf("status %+v", st)
	}
	if err := ask(r, &model.IdentityProvider{Name: "b", Endpoint: "https://other.example.com"}); calls.Load() != 4 || err == nil {
		t.Error("one provider's fault counts against another")
	}
	c.add(5 * time.Second)
	for range 10 {
		ask(r, p)
	}
	if n := calls.Load(); n != 5 {
		t.Errorf("%d calls: after the pause one tries for all", n)
	}
	fault.Store(nil)
	c.add(5 * time.Second)
	for range 10 {
		if err := ask(r, p); err != nil {
			t.Error(err)
		}
	}
	if st := r.Status(p); !st.Healthy || st.Paused || st.LastError != "" || st.LastGood == nil {
		t.Errorf("status %+v", st)
	}
	// A single failure among answers is no reason to stay away.
	fault.Store(&down)
	ask(r, p)
	fault.Store(nil)
	if err := ask(r, p); err != nil {
		t.Error(err)
	}
}

func TestAnswersThatCannotBeReadCountAsFailures(t *testing.T) {
	c := &clock{}
	r := NewRegistry(Options{Now: c.now, Post: func(context.Context, string, string, url.Values) ([]byte, error) { return []byte("<html>"), nil }})
	for range 3 {
		if err := r.Ask(context.Background(), provider("a"), "t", func([]byte) error { return errors.New("not JSON") }); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if st := r.Status(provider("a")); !st.Paused {
		t.Errorf("status %+v", st)
	}
}

func TestNobodyWaitsLongerThanTheTimeout(t *testing.T) {
	r := NewRegistry(Options{Timeout: 30 * time.Millisecond, Calls: 2, Failures: 1000,
		Post: func(ctx context.Context, _, _ string, _ url.Values) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	var wg sync.WaitGroup
	begin := time.Now()
	for range 20 {
		wg.Go(func() {
			if err := ask(r, provider("a")); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Ask(gone, provider("a"), "t", fine); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestQuestionsUnderWayAreBounded(t *testing.T) {
	var now, most atomic.Int32
	r := NewRegistry(Options{Calls: 4, Post: func(context.Context, string, string, url.Values) ([]byte, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond)
		now.Add(-1)
		return nil, nil
	}})
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() { ask(r, provider("a")) })
	}
	wg.Wait()
	if most.Load() > 4 {
		t.Errorf("%d at once", most.Load())
	}
}

func TestAnEndpointStartsAfreshWithAnotherSecretAndEndsWithItsConfiguration(t *testing.T) {
	c := &clock{}
	r := NewRegistry(Options{Now: c.now, Post: func(_ context.Context, _, authorization string, _ url.Values) ([]byte, error) {
		if authorization == basic(&model.IdentityProvider{ClientID: "gw:1", ClientSecret: "right"}) {
			return nil, nil
		}
		return nil, errors.New("401")
	}})
	p := provider("a")
	for range 5 {
		ask(r, p)
	}
	mended := provider("a")
	mended.ClientSecret = "right"
	if err := ask(r, mended); err != nil {
		t.Error("a mended secret waits for the pause to end:", err)
	}
	r.Retain([]model.IdentityProvider{*mended})
	if len(r.endpoints) != 1 {
		t.Errorf("%d endpoints are kept", len(r.endpoints))
	}
	r.Retain(nil)
	if len(r.endpoints) != 0 {
		t.Errorf("%d endpoints are kept", len(r.endpoints))
	}
}

func TestRefusalsAreRememberedBrieflyByTheirWholeKey(t *testing.T) {
	r := NewRegistry(Options{})
	cache := authn.NewCache(0)
	now := time.Unix(1e9, 0)
	k := cache.Key(authn.SpaceOpaque, 1, "token")
	r.Refuse(k, authn.Refuse(model.CredentialInvalid, "because"), now)
	if res, ok := r.Refused(k, now.Add(4*time.Second)); !ok || res.Detail != "because" {
		t.Errorf("%v %+v", ok, res)
	}
	for what, ask := range map[string]func() (authn.Result, bool){
		"later":                       func() (authn.Result, bool) { return r.Refused(k, now.Add(5*time.Second)) },
		"under another configuration": func() (authn.Result, bool) { return r.Refused(cache.Key(authn.SpaceOpaque, 2, "token"), now) },
		"for another token":           func() (authn.Result, bool) { return r.Refused(cache.Key(authn.SpaceOpaque, 1, "tokem"), now) },
	} {
		if _, ok := ask(); ok {
			t.Errorf("it is remembered %s", what)
		}
	}
}
