package provision

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// farewell is when the user behind an outside identity was deleted here. A token
// that was issued before must not bring the user back by its first sight: being
// offboarded ends what was handed out, and only a login after that begins anew.
type farewell struct {
	At time.Time `json:"at"`
}

// farewellName names the note; subjects are hashed, for names of objects are short
// and a note need not tell who it was.
func farewellName(provider, subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return "left/" + provider + "/" + hex.EncodeToString(sum[:16])
}

// bidFarewell notes the deletion of u for each of its links.
func (t *change) bidFarewell(u *model.User) error {
	for i := range u.Credentials {
		c := &u.Credentials[i]
		if c.Type != model.Link {
			continue
		}
		body, err := json.Marshal(farewell{At: t.now})
		if err != nil {
			return err
		}
		if err := t.w.PutObject(t.ctx, &store.Object{Kind: store.KindMeta, Name: farewellName(c.Provider, c.Subject), Body: body, Updated: t.now}); err != nil {
			return err
		}
	}
	return nil
}

// left says whether the identity was issued before its user was deleted here. An
// identity without a time of issue is asserted now, by whoever proves itself now.
func (t *change) left(o *directory.Outside) (bool, error) {
	if o.Issued.IsZero() {
		return false, nil
	}
	obj, err := t.w.Object(t.ctx, store.KindMeta, farewellName(o.Provider.Name, o.Subject))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var f farewell
	if err := json.Unmarshal(obj.Body, &f); err != nil {
		return false, err
	}
	return !o.Issued.After(f.At), nil
}
