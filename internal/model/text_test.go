package model

import (
	"strings"
	"testing"
)

func TestAControlByteIsFoundWhereverItStands(t *testing.T) {
	for length := range 20 {
		clean := strings.Repeat("a", length)
		if HoldsControl(clean) {
			t.Errorf("%q is said to hold a control byte", clean)
		}
		for at := range length {
			for c := range 256 {
				// The neighbours are those that borrow and carry between bytes.
				for _, beside := range []byte{'a', ' ', '~', '\t', 0x80, 0xff} {
					b := []byte(strings.Repeat(string([]byte{beside}), length))
					b[at] = byte(c)
					want := c < ' ' && c != '\t' || c == 0x7f
					if HoldsControl(b) != want || HoldsControl(string(b)) != want {
						t.Fatalf("%q: want %v", b, want)
					}
				}
			}
		}
	}
}

func TestAFieldValueHasNoWhiteSpaceAtItsEnds(t *testing.T) {
	for _, c := range []struct {
		value string
		valid bool
	}{{"", true}, {"a b", true}, {"caf\xc3\xa9", true}, {" a", false}, {"a\t", false}, {"a\r\nX: b", false}, {"12345678\x00", false}} {
		if ValidFieldValue(c.value) != c.valid {
			t.Errorf("%q: want valid %v", c.value, c.valid)
		}
	}
}
