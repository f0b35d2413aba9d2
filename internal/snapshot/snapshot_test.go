package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/model"
)

// rich is a set with every field of every object filled, so that one that the
// file would lose shows.
func rich() *model.Set {
	s := &model.Set{}
	fill(reflect.ValueOf(s).Elem(), 0)
	s.Revision = 42
	return s
}

func fill(v reflect.Value, depth int) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_800_000_000, 1000).UTC()))
		return
	case model.Requirement:
		v.Set(reflect.ValueOf(requirement()))
		return
	case model.Duration:
		v.Set(reflect.ValueOf(model.Duration(90 * time.Second)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(k, depth+1)
		fill(e, depth+1)
		v.SetMapIndex(k, e)
	case reflect.Interface:
		v.Set(reflect.ValueOf("any <value>"))
	case reflect.String:
		v.SetString("text <&> é")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(1.5)
	}
}

func requirement() model.Requirement {
	var r model.Requirement
	if err := json.Unmarshal([]byte(`{"anyOf":["bearer@corp","apiKey",{"allOf":["mtls","basic"]}]}`), &r); err != nil {
		panic(err)
	}
	return r
}

func users() []model.User {
	u := model.User{}
	fill(reflect.ValueOf(&u).Elem(), 0)
	return []model.User{u, {ID: "u2", Username: "bob"}}
}

func saved(t *testing.T) (path string, file []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "last-good")
	if err := Save(path, rich(), users()...); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, file
}

func TestWhatIsSavedIsLoadedWhole(t *testing.T) {
	path, _ := saved(t)
	got, err := LoadAll(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(rich(), got.Set); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(users(), got.Users); d != "" {
		t.Error(d)
	}
	set, at, err := Load(path)
	if err != nil || set.Revision != 42 || time.Since(at) > time.Minute || time.Since(at) < 0 {
		t.Errorf("%v %v %v", set, at, err)
	}
	empty := filepath.Join(t.TempDir(), "x")
	if err := Save(empty, model.NewSet()); err != nil {
		t.Fatal(err)
	}
	set, _, err = Load(empty)
	if d := cmp.Diff(model.NewSet(), set); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestTheFileGivesNothingAway(t *testing.T) {
	set := rich()
	set.IdentityProviders[0].Secret = "a very secret secret"
	path := filepath.Join(t.TempDir(), "data", "..", "last-good")
	if err := Save(path, set, users()...); err != nil {
		t.Fatal(err)
	}
	file, _ := os.ReadFile(path)
	for _, word := range []string{"secret", "text", "services", "bob"} {
		if bytes.Contains(file, []byte(word)) {
			t.Errorf("%q can be read in it", word)
		}
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, keyPath(path): 0o600, filepath.Dir(keyPath(path)): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if err := Save(path, set); err != nil {
		t.Fatal(err)
	}
	again, _ := os.ReadFile(path)
	if bytes.Equal(file[nonceOffset:nonceOffset+12], again[nonceOffset:nonceOffset+12]) {
		t.Error("a nonce was used twice")
	}
}

func refused(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s was believed", what)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Fatalf("%s: %q does not say %q", what, err, w)
		}
	}
}

func TestRefusals(t *testing.T) {
	path, file := saved(t)
	key, err := os.ReadFile(keyPath(path))
	if err != nil {
		t.Fatal(err)
	}
	judge := func(b []byte) error { _, err := decode(b, keyPath(path)); return err }
	if err := judge(file); err != nil {
		t.Fatal(err)
	}
	mend := func(b []byte) []byte { // as whoever knows the format could
		sum := sha256.Sum256(b[:len(b)-32])
		return append(b[:len(b)-32], sum[:]...)
	}
	t.Run("each byte flipped, as by a disk and as by somebody who mends the checksum", func(t *testing.T) {
		for i := range file {
			for _, bit := range []byte{1, 0x80} {
				b := bytes.Clone(file)
				b[i] ^= bit
				refused(t, fmt.Sprintf("byte %d", i), judge(b), "store")
				if i < len(file)-32 {
					refused(t, fmt.Sprintf("byte %d, mended", i), judge(mend(b)), "store")
				}
			}
		}
	})
	t.Run("each length, shorter and longer", func(t *testing.T) {
		for n := range len(file) {
			refused(t, fmt.Sprintf("%d bytes", n), judge(file[:n]))
			if n >= 32 {
				refused(t, fmt.Sprintf("%d bytes, mended", n), judge(mend(bytes.Clone(file[:n]))))
			}
		}
		refused(t, "a byte more", judge(append(bytes.Clone(file), 0)), "damaged or was edited")
		refused(t, "twice the file", judge(append(bytes.Clone(file), file...)))
		refused(t, "nothing", judge(nil), "truncated")
	})
	t.Run("zeroes in place of a part, as a power loss leaves them", func(t *testing.T) {
		for from := 0; from < len(file); from += 64 {
			b := bytes.Clone(file)
			clear(b[from:])
			refused(t, "zeroes", judge(b))
		}
	})
	t.Run("a newer format is named with both versions", func(t *testing.T) {
		b := bytes.Clone(file)
		binary.BigEndian.PutUint32(b[8:], version+1)
		refused(t, "newer", judge(mend(b)), "format 2", "up to 1", "version that wrote it")
	})
	t.Run("a field that this version does not know", func(t *testing.T) {
		b, err := seal(key, []byte(`{"time":"2026-01-01T00:00:00Z","set":{"revision":1,"denyEverything":true}}`))
		if err != nil {
			t.Fatal(err)
		}
		refused(t, "an unknown field", judge(b), "denyEverything", "another version")
	})
	t.Run("texts that are no snapshot", func(t *testing.T) {
		for _, text := range []string{"", "{}", "null", "[]", `{"set":null}`, `{"set":{}} {}`, `{"set":{}`} {
			b, _ := seal(key, []byte(text))
			refused(t, text, judge(b))
		}
	})
	t.Run("another key, a damaged key and no key", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "key")
		os.WriteFile(other, bytes.Repeat([]byte{1}, 32), 0o600)
		_, err := decode(file, other)
		refused(t, "another key", err, "another key", "snapshot.key")
		os.WriteFile(other, key[:31], 0o600)
		_, err = decode(file, other)
		refused(t, "a damaged key", err, "31 bytes")
		_, err = decode(file, filepath.Join(t.TempDir(), "none"))
		refused(t, "no key", err, "without its key")
	})
	t.Run("no file is told apart from a bad one", func(t *testing.T) {
		_, _, err := Load(filepath.Join(t.TempDir(), "none"))
		if !errors.Is(err, ErrNone) {
			t.Error(err)
		}
		os.WriteFile(path, []byte("hello, hello, hello"), 0o600)
		_, _, err = Load(path)
		refused(t, "another file", err, path, "is not a snapshot")
		if errors.Is(err, ErrNone) {
			t.Error(err)
		}
	})
}

// The directory is copied before each step: what a crash there would leave.
func TestACrashAtAnyStepLeavesTheOldFileOrTheNew(t *testing.T) {
	for name, first := range map[string]bool{"with a file before": false, "the first time": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "last-good")
			set := func(n int64) Saved { s := model.NewSet(); s.Revision = n; return Saved{Set: s} }
			none := func(string) error { return nil }
			if !first {
				if err := save(path, set(1), none); err != nil {
					t.Fatal(err)
				}
			}
			crashes := map[string]string{}
			err := save(path, set(2), func(step string) error {
				crashes[step] = t.TempDir()
				return os.CopyFS(crashes[step], os.DirFS(dir))
			})
			if err != nil || len(crashes) < 7 {
				t.Fatal(crashes, err)
			}
			for step, left := range crashes {
				got, _, err := Load(filepath.Join(left, "last-good"))
				switch {
				case step == "sync directory" && (err != nil || got.Revision != 2),
					step != "sync directory" && first && !errors.Is(err, ErrNone),
					step != "sync directory" && !first && (err != nil || got.Revision != 1):
					t.Errorf("before %s: %v %v", step, got, err)
				}
				// The next save succeeds and clears away what was left.
				again := filepath.Join(left, "last-good")
				if err := save(again, set(3), none); err != nil {
					t.Fatalf("after a crash before %s: %v", step, err)
				}
				if got, _, err := Load(again); err != nil || got.Revision != 3 {
					t.Errorf("after a crash before %s: %v", step, err)
				}
				if files, _ := os.ReadDir(left); len(files) != 2 { // the file, and keys
					t.Errorf("left after a crash before %s: %v", step, files)
				}
			}
		})
	}
}

func TestAFailureKeepsTheOldFile(t *testing.T) {
	path, file := saved(t)
	for _, step := range []string{"key", "create", "write", "sync", "close", "rename"} {
		full := errors.New("no space left on device")
		err := save(path, Saved{Set: model.NewSet()}, func(s string) error {
			if s == step {
				return full
			}
			return nil
		})
		if !errors.Is(err, full) {
			t.Errorf("%s: %v", step, err)
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, file) {
			t.Errorf("%s: the old file is gone", step)
		}
		if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 2 {
			t.Errorf("%s: left %v", step, files)
		}
	}
	err := Save("/proc/no/such/file", model.NewSet())
	refused(t, "a directory that cannot be made", err, "saving the snapshot")
}

func TestADamagedKeyIsReplacedOnSave(t *testing.T) {
	path, _ := saved(t)
	os.WriteFile(keyPath(path), []byte("short"), 0o600)
	if _, _, err := Load(path); err == nil {
		t.Fatal("loaded")
	}
	if err := Save(path, rich()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path); err != nil {
		t.Fatal(err)
	}
}

func TestHolder(t *testing.T) {
	var h Holder[[2]int]
	if h.Load() != nil {
		t.Fatal("something was published by nobody")
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			last := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				if p := h.Load(); p != nil {
					if p[0] != p[1] || p[0] < last {
						t.Errorf("%v after %d", *p, last)
						return
					}
					last = p[0]
				}
			}
		})
	}
	for n := range 1000 {
		h.Publish(&[2]int{n, n})
	}
	close(stop)
	wg.Wait()
}

// FuzzParse looks for files that parse and are not what seal makes, and for
// panics. Whatever parses must have its checksum, its length and its version.
func FuzzParse(f *testing.F) {
	key := make([]byte, keySize)
	good, _ := seal(key, []byte(`{"set":{}}`))
	f.Add(good)
	f.Add(good[:50])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parse(b)
		sum := [32]byte{}
		slow := len(b) >= headerSize+32 && string(b[:8]) == magic && bytes.Equal(b[8:12], []byte{0, 0, 0, version})
		if slow {
			sum = sha256.Sum256(b[:len(b)-32])
			slow = bytes.Equal(sum[:], b[len(b)-32:]) && binary.BigEndian.Uint64(b[32:40]) == uint64(len(b)-headerSize-32)
		}
		if (err == nil) != slow {
			t.Fatalf("parse says %v, the slow reading %v", err, slow)
		}
		if err == nil {
			if _, err := e.open(key); err == nil && !bytes.Equal(b, good) {
				t.Log("another file of the zero key")
			}
		}
	})
}

func BenchmarkSave(b *testing.B) {
	set := model.NewSet()
	for i := range 10_000 {
		set.Routes = append(set.Routes, model.Route{Name: fmt.Sprint("route-", i), Paths: []string{fmt.Sprintf("/api/%d", i)}, Service: "s"})
	}
	path := filepath.Join(b.TempDir(), "last-good")
	for b.Loop() {
		if err := Save(path, set); err != nil {
			b.Fatal(err)
		}
	}
}
