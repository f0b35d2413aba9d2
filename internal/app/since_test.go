package app

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatChangedSinceTheSnapshotOutlivesTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-good")
	s := newSince(file)
	s.note("ann", "bob")
	mark := s.mark()
	s.note("carol") // while the snapshot is being saved
	if again := newSince(file); !again.has("ann") || !again.has("bob") || !again.has("carol") || again.has("dora") {
		t.Errorf("after a kill: %v", again.list)
	}
	s.saved(mark)
	if again := newSince(file); again.has("ann") || !again.has("carol") || !s.has("carol") {
		t.Errorf("after a save: %v", again.list)
	}
	s.note("emil")
	if again := newSince(file); !again.has("carol") || !again.has("emil") {
		t.Errorf("after a save and a change: %v", again.list)
	}
	s.saved(s.mark())
	if _, err := os.Stat(file + ".since"); err == nil || s.has("emil") {
		t.Error("what the snapshot has is noted still")
	}
}

func TestMoreChangesThanAreWorthListingAreEverything(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-good")
	s := newSince(file)
	for i := range mostSince + 100 {
		s.note(fmt.Sprint(i))
	}
	mark := s.mark()
	s.note("late")
	s.saved(mark)
	if again := newSince(file); !again.has(everything) {
		t.Error("a change while saving is forgotten")
	}
	s.saved(s.mark())
	if s.has(everything) || newSince(file).has(everything) {
		t.Error("everything is noted for ever")
	}
}

func TestASnapshotThatCannotBeContradictedGoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-good")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file+".since", 0o700); err != nil {
		t.Fatal(err)
	}
	newSince(file).note("ann")
	if _, err := os.Stat(file); err == nil {
		t.Error("the snapshot is there, although it could not be noted that it is wrong")
	}
}
