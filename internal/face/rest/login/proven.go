package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

// How long, and how many, passwords are remembered as right.
const (
	rememberFor = 5 * time.Minute
	mostProven  = 1024
)

// proven remembers that a password matched a stored hash, so that a script does
// not pay for a slow hash with every call. It keeps neither: only a keyed digest
// of both. Whether the administrator is still active and still has that hash is
// asked each time, so a change of either takes effect at once.
type proven struct {
	key [32]byte
	now func() time.Time
	mu  sync.Mutex
	m   map[[32]byte]time.Time // until when
}

func newProven(now func() time.Time) *proven {
	p := &proven{now: now, m: map[[32]byte]time.Time{}}
	rand.Read(p.key[:]) // never fails: crypto/rand ends the process instead
	return p
}

func (p *proven) digest(name, password, stored string) (d [32]byte) {
	m := hmac.New(sha256.New, p.key[:])
	for _, s := range []string{name, password, stored} {
		part(m, s)
	}
	m.Sum(d[:0])
	return d
}

// part writes a text with its length, so that no two lists of texts are one.
func part(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

func (p *proven) has(name, password, stored string) bool {
	d := p.digest(name, password, stored)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now().Before(p.m[d])
}

func (p *proven) add(name, password, stored string) {
	d := p.digest(name, password, stored)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if len(p.m) >= mostProven {
		clear(p.m)
	}
	p.m[d] = now.Add(rememberFor)
}
