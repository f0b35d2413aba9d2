package secret

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"
)

// TestSlicedHashesAreArgon2id compares with the library over the parameters that
// change the way through the memory.
func TestSlicedHashesAreArgon2id(t *testing.T) {
	m := new(arena) // one for all: what a hash leaves behind must not show in the next
	for _, memory := range []uint32{8, 9, 31, 32, 64, 100, 1024, 4100} {
		for passes := uint32(1); passes <= 3; passes++ {
			for _, lanes := range []uint8{1, 2, 3, 4} {
				for _, length := range []uint32{16, 32, 64} {
					if memory < 8*uint32(lanes) {
						continue
					}
					name := fmt.Sprintf("m=%d,t=%d,p=%d,%d", memory, passes, lanes, length)
					password, salt := []byte("password "+name), []byte("salt of "+name)
					got := m.derive(password, salt, passes, memory, lanes, length)
					if want := argon2.IDKey(password, salt, passes, memory, lanes, length); !bytes.Equal(got, want) {
						t.Fatalf("%s: %x, library %x", name, got, want)
					}
				}
			}
		}
	}
}

// The command-line tool of the reference implementation gives this for
// echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1.
func TestSlicedHashesAgreeWithTheReference(t *testing.T) {
	const want = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
	if got := hex.EncodeToString(new(arena).derive([]byte("password"), []byte("somesalt"), 2, 65536, 1, 32)); got != want {
		t.Errorf("got %s", got)
	}
}

func FuzzSliced(f *testing.F) {
	f.Add([]byte("p"), []byte("saltsalt"), uint32(2), uint32(64), uint8(1))
	f.Fuzz(func(t *testing.T, password, salt []byte, passes, memory uint32, lanes uint8) {
		passes, lanes = passes%3+1, lanes%4+1
		memory = 8*uint32(lanes) + memory%300
		got := new(arena).derive(password, salt, passes, memory, lanes, 32)
		if want := argon2.IDKey(password, salt, passes, memory, lanes, 32); !bytes.Equal(got, want) {
			t.Fatalf("m=%d,t=%d,p=%d: %x, library %x", memory, passes, lanes, got, want)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	for name, f := range map[string]func(p, s []byte, t, m uint32, l uint8, n uint32) []byte{"sliced": new(arena).derive, "library": argon2.IDKey} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f([]byte("password"), make([]byte, 16), passes, memory, lanes, sumLen)
			}
		})
	}
}

func TestAHashLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	new(arena).derive([]byte("password"), []byte("somesalt"), 2, 1024, 1, 32)
}
