package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
)

func TestKeysHaveTheFormThatScannersKnow(t *testing.T) {
	full, id, prefix, hash := NewAPIKey()
	if !regexp.MustCompile(`^sp_[0-9A-Za-z]{50}$`).MatchString(full) {
		t.Errorf("key has another form: %d characters", len(full))
	}
	if prefix != "sp_"+id || !strings.HasPrefix(full, prefix) || len(id) != 12 {
		t.Errorf("prefix %q, id %q", prefix, id)
	}
	if sum := sha256.Sum256([]byte(full)); hash != hex.EncodeToString(sum[:]) {
		t.Error("the stored hash is not the key's SHA-256")
	}
	gotID, gotHash, ok := ParseAPIKey(full)
	if !ok || gotID != id || !EqualHash(gotHash, hash) {
		t.Error("a key made here does not parse")
	}
	if token, _, p, _ := NewAdminToken(); !strings.HasPrefix(token, "spa_") || !strings.HasPrefix(token, p) {
		t.Error("an administrator's token has another prefix")
	}
}

func TestKeysThatAreNotWholeAreRefusedBeforeAnyLookup(t *testing.T) {
	full, _, _, _ := NewAPIKey()
	token, _, _, _ := NewAdminToken()
	swap := []byte(full)
	swap[20], swap[21] = swap[21], swap[20]
	if swap[20] == swap[21] {
		swap[20] ^= 1
	}
	for name, s := range map[string]string{
		"nothing":                   "",
		"the prefix alone":          "sp_",
		"two characters swapped":    string(swap),
		"one character less":        full[:len(full)-1],
		"one character more":        full + "a",
		"a space behind":            full + " ",
		"another prefix":            "sk_" + full[3:],
		"an upper-case prefix":      "SP_" + full[3:],
		"an administrator's token":  token,
		"characters of another set": full[:10] + "-" + full[11:],
		"bytes beyond ASCII":        full[:10] + "\xff" + full[11:],
	} {
		if _, _, ok := ParseAPIKey(s); ok {
			t.Errorf("%s is taken for a key", name)
		}
	}
	if _, _, ok := ParseAdminToken(full); ok {
		t.Error("an API key is taken for an administrator's token")
	}
}

func TestHashesOfKeysCompare(t *testing.T) {
	if EqualHash("", "") || EqualHash("a", "") || EqualHash("a", "b") || !EqualHash("ab", "ab") {
		t.Error("EqualHash: equal and not empty, nothing else")
	}
}

// FuzzParseAPIKey compares the parser with a plain reading of the form.
func FuzzParseAPIKey(f *testing.F) {
	full, _, _, _ := NewAPIKey()
	f.Add(full)
	f.Add("sp_" + strings.Repeat("0", 50))
	f.Add("")
	form := regexp.MustCompile(`^sp_[0-9A-Za-z]{12}[0-9A-Za-z]{32}[0-9A-Za-z]{6}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		id, hash, ok := ParseAPIKey(s)
		want := form.MatchString(s) && strings.HasSuffix(s, checksum(s[:len(s)-6]))
		if ok != want {
			t.Fatalf("parsed %v, plain reading %v", ok, want)
		}
		if ok && (id != s[3:15] || len(hash) != 64) || !ok && (id != "" || hash != "") {
			t.Fatalf("id %q hash %q", id, hash)
		}
	})
}
