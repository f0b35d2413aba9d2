package provision

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// agent-bom #3535, authentik CVE-2025-64521: access that outlives removal.
func TestATokenFromBeforeADeletionDoesNotBringTheUserBack(t *testing.T) {
	r := newRoom(t).furnish()
	o := seen(corp(model.ProvisionJIT), "sub-9", "wanda")
	o.Issued = time.Now().Add(-time.Minute)
	first, _ := r.sight(o)
	if _, err := r.Delete(t.Context(), root, KindUsers, "wanda", Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Provision(t.Context(), o); model.AsError(err) == nil || model.AsError(err).Code != model.CredentialInvalid {
		t.Errorf("the old token makes the user anew: %v", err)
	}
	o.Issued = time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
	again, _ := r.sight(o)
	if again == "" || again == first {
		t.Errorf("a later login gives %q, the first user was %q", again, first)
	}
}
