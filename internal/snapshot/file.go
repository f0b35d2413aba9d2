package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// ErrNone says that there is no last-good file.
var ErrNone = errors.New("there is no last-good snapshot")

// Saved is the content of a last-good file.
type Saved struct {
	Time  time.Time    `json:"time"`
	Set   *model.Set   `json:"set"`
	Users []model.User `json:"users,omitempty"` // recently used; for directory.Prime
}

// Save writes the set, and the users for directory.Prime, as the last-good file
// at path: whole and synced, or not at all. Calls for one path must not overlap,
// or the older set may win.
func Save(path string, set *model.Set, users ...model.User) error {
	return save(path, Saved{Time: time.Now(), Set: set, Users: users}, func(string) error { return nil })
}

// Load reads the set of the last-good file, and when it was saved. ErrNone where
// there is no file; any other error says why it cannot be believed.
func Load(path string) (*model.Set, time.Time, error) {
	s, err := LoadAll(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	return s.Set, s.Time, nil
}

// LoadAll is Load with the users.
func LoadAll(path string) (*Saved, error) {
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrNone)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last-good snapshot: %w", err)
	}
	s, err := decode(file, keyPath(path))
	if err != nil {
		return nil, fmt.Errorf("the last-good snapshot %s %w", path, err)
	}
	return s, nil
}

func decode(file []byte, keyFile string) (*Saved, error) {
	e, err := parse(file)
	if err != nil {
		return nil, err
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	text, err := e.open(key)
	if err != nil {
		return nil, err
	}
	// A field that this program does not know may be one that closes a door:
	// to leave it out would be to serve another configuration.
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	s := &Saved{}
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("was written by another version of sallyport (%w); start with the store, or with the version that wrote it", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || s.Set == nil {
		return nil, errors.New("is not whole; start with the store")
	}
	return s, nil
}

// save writes beside the file and renames, so that a crash at any step leaves
// the old file. step is told what comes next, for tests to crash there.
func save(path string, s Saved, step func(string) error) (err error) {
	text, err := json.Marshal(&s)
	if err != nil {
		return fmt.Errorf("saving the snapshot: %w", err)
	}
	if err := step("key"); err != nil {
		return err
	}
	key, err := ensureKey(keyPath(path))
	if err != nil {
		return fmt.Errorf("saving the snapshot: %w", err)
	}
	file, err := seal(key, text)
	if err != nil {
		return fmt.Errorf("saving the snapshot: %w", err)
	}
	if err := replace(path, file, step); err != nil {
		return fmt.Errorf("saving the snapshot: %w", err)
	}
	return nil
}
