package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// The parameters of hashes made today: OWASP's floor for argon2id. Memory is in KiB.
const (
	memory  = 19 * 1024
	passes  = 2
	lanes   = 1
	saltLen = 16
	sumLen  = 32
)

// The bounds of hashes that are accepted. A stored hash is data: one that asks
// for gigabytes or minutes would be a way to stop the gateway.
const (
	maxMemory = 256 * 1024
	maxPasses = 16
	maxLanes  = 16
	maxWork   = 1024 * 1024 // memory × passes
)

// argon2id is a parsed hash in PHC form.
type argon2id struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func newArgon2id(m *arena, password string) string {
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails: crypto/rand ends the process instead
	a := &argon2id{memory: memory, passes: passes, lanes: lanes, salt: salt, sum: make([]byte, sumLen)}
	return a.with(m, password).String()
}

// with is the hash of a password under the same parameters and salt.
func (a *argon2id) with(m *arena, password string) *argon2id {
	c := *a
	c.sum = m.derive([]byte(password), a.salt, a.passes, a.memory, a.lanes, uint32(len(a.sum)))
	return &c
}

// impossibleHash is well formed and has no password that anybody could know: its
// sum is random and was never computed from one.
func impossibleHash() string {
	a := argon2id{memory: memory, passes: passes, lanes: lanes, salt: make([]byte, saltLen), sum: make([]byte, sumLen)}
	rand.Read(a.salt)
	rand.Read(a.sum)
	return a.String()
}

func (a *argon2id) String() string {
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", a.memory, a.passes, a.lanes,
		e.EncodeToString(a.salt), e.EncodeToString(a.sum))
}

func readArgon2id(s string) (*argon2id, error) {
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v=19" {
		return nil, ErrHash
	}
	param := strings.Split(part[3], ",")
	if len(param) != 3 {
		return nil, ErrHash
	}
	m, ok1 := parameter(param[0], "m=", maxMemory)
	t, ok2 := parameter(param[1], "t=", maxPasses)
	p, ok3 := parameter(param[2], "p=", maxLanes)
	if !ok1 || !ok2 || !ok3 || m < 8*p || m*t > maxWork {
		return nil, ErrHash
	}
	e := base64.RawStdEncoding.Strict()
	salt, err1 := e.DecodeString(part[4])
	sum, err2 := e.DecodeString(part[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(sum) < 16 || len(sum) > 64 {
		return nil, ErrHash
	}
	return &argon2id{memory: m, passes: t, lanes: uint8(p), salt: salt, sum: sum}, nil
}

// parameter reads one of PHC's decimals: no sign, no leading zero, within 1 and most.
func parameter(s, name string, most uint32) (uint32, bool) {
	d, ok := strings.CutPrefix(s, name)
	if !ok || d == "" || d[0] < '1' || d[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(d, 10, 32)
	return uint32(n), err == nil && uint32(n) <= most
}

func (a *argon2id) matches(m *arena, password string) bool {
	return subtle.ConstantTimeCompare(a.with(m, password).sum, a.sum) == 1
}

func (a *argon2id) longest() int { return MaxPassword }
func (a *argon2id) cheap() bool  { return false }

// weak compares the work: stronger parameters than today's are left alone.
func (a *argon2id) weak() bool {
	return uint64(a.memory)*uint64(a.passes) < memory*passes || len(a.sum) < sumLen
}

func (a *argon2id) kind() string {
	return "argon2id " + strconv.Itoa(int(a.memory)) + " " + strconv.Itoa(int(a.passes)) + " " + strconv.Itoa(int(a.lanes))
}
