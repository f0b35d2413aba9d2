package identity_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate/identity"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/verify"
)

// What the gateway signs, the backend's package believes: both halves meet over
// a real key set, through three rotations.
func TestTheBackendsHalfVerifiesAssertions(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var passed, fetches atomic.Int64
	now := func() time.Time { return start.Add(time.Duration(passed.Load())) }
	signer, err := identity.NewSigner(t.TempDir(), now, "https://api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		w.Header().Set("Cache-Control", identity.CacheControl)
		_, _ = w.Write(signer.KeySet())
	}))
	defer keys.Close()
	policy, err := verify.NewPolicy(verify.Entry{Identity: "group:staff", Paths: []string{"/orders"}, Methods: []string{"GET"}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Config{Issuer: "https://api.example.com", Audience: "orders", JWKSURL: keys.URL, Policy: policy, Now: now,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var settings model.Settings
	settings.Defaults()
	orders := &model.Service{Name: "orders"}
	orders.Defaults()
	for day := range 95 {
		values := identity.Compile(&settings, nil).Values(&model.User{ID: "u-1", Username: "zoë"}, []string{"staff"}, nil, "basic", nil)
		text, err := signer.Assertion(values, orders, "", "basic")
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/orders/7", nil)
		r.Header.Set(verify.DefaultHeader, text)
		id, err := v.Verify(r)
		if err != nil || id.Name != "zoë" || id.Subject != "u-1" || len(id.Methods) != 1 {
			t.Fatalf("day %d: %+v, %v", day, id, err)
		}
		passed.Add(int64(23 * time.Hour))
	}
	if n := fetches.Load(); n < 3 || n > 200 {
		t.Errorf("%d fetches", n)
	}
}
