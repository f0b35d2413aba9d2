package compress

import (
	"hash/maphash"
	"strings"
)

const (
	// Most is the largest dynamic table that is used, whatever the peer offers.
	Most = 4096
	// overhead is what an entry counts beyond its bytes (RFC 7541, 4.1).
	overhead    = 32
	staticCount = 61
	sets        = 32
	seenCount   = 128
)

// Encoder writes header blocks. The zero value is not usable: see New. It is not
// safe for concurrent use, and the blocks must be sent in the order in which they
// were written.
type Encoder struct {
	seed maphash.Seed

	limit, size uint32 // of the dynamic table
	least       uint32 // of the limits since the last block
	update      bool   // the peer is to be told of the limit

	ring     []entry // a power of two long
	count    uint64  // entries in the table
	inserted uint64  // entries ever
	where    [sets][2]place
	seen     [seenCount]uint32
}

// entry is one field in the table. Its name is kept as it was given, which is how
// it will be given again.
type entry struct{ name, value string }

func (e *entry) size() uint32 { return uint32(len(e.name)+len(e.value)) + overhead }

// place is where a field of that hash was put last.
type place struct {
	hash   uint64
	number uint64 // how many had been inserted with it
}

// New makes an encoder with the table that a connection begins with.
func New() *Encoder {
	return &Encoder{seed: maphash.MakeSeed(), limit: Most, least: Most}
}

// SetLimit takes the peer's SETTINGS_HEADER_TABLE_SIZE; the next block says so.
func (e *Encoder) SetLimit(n uint32) {
	n = min(n, Most)
	if n == e.limit && !e.update {
		return
	}
	e.limit = n
	e.least = min(e.least, n)
	e.update = true
	e.evict(0)
}

// Begin starts a block: it must be called first, once a block.
func (e *Encoder) Begin(b []byte) []byte {
	if !e.update {
		return b
	}
	if e.least < e.limit {
		// The peer has to see that the table was smaller (RFC 7541, 4.2). Readers
		// there are that take a second update of an empty table alone.
		all := e.limit
		e.limit = 0
		e.evict(0)
		e.limit = all
		b = append(b, 0x20)
	}
	b = integer(b, 0x20, 5, uint64(e.limit))
	e.least, e.update = e.limit, false
	return b
}

// Status writes :status.
func (e *Encoder) Status(b []byte, status int) []byte {
	switch status {
	case 200:
		return append(b, 0x80|8)
	case 204:
		return append(b, 0x80|9)
	case 206:
		return append(b, 0x80|10)
	case 304:
		return append(b, 0x80|11)
	case 400:
		return append(b, 0x80|12)
	case 404:
		return append(b, 0x80|13)
	case 500:
		return append(b, 0x80|14)
	}
	return append(b, 8, 3, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10))
}

// Field writes a field, its name in lower case. A field that was seen before goes
// into the table, and then costs a byte or two.
func (e *Encoder) Field(b []byte, name, value string) []byte {
	h := maphash.String(e.seed, name)*0x9e3779b97f4a7c15 ^ maphash.String(e.seed, value)
	set := &e.where[h%sets]
	for i := range set {
		if at := &set[i]; at.hash == h && at.number+e.count > e.inserted {
			if x := &e.ring[at.number&uint64(len(e.ring)-1)]; x.name == name && x.value == value {
				return integer(b, 0x80, 7, staticCount+1+e.inserted-at.number)
			}
		}
	}
	mark := &e.seen[h>>32%seenCount]
	if *mark != uint32(h) {
		*mark = uint32(h)
		return literal(b, 0, 4, name, value)
	}
	if x := (entry{name, value}); x.size() > e.limit/2 {
		return literal(b, 0, 4, name, value)
	}
	b = literal(b, 0x40, 6, name, value)
	e.insert(strings.Clone(name), strings.Clone(value))
	older := 0
	if set[1].number < set[0].number {
		older = 1
	}
	set[older] = place{h, e.inserted}
	return b
}

// Once writes a field that will not come again.
func (e *Encoder) Once(b []byte, name, value string) []byte { return literal(b, 0, 4, name, value) }

// Secret writes a field that no intermediary may put into a table either
// (RFC 7541, 7.1.3).
func (e *Encoder) Secret(b []byte, name, value string) []byte {
	return literal(b, 0x10, 4, name, value)
}

func (e *Encoder) insert(name, value string) {
	x := entry{name, value}
	e.evict(x.size())
	if int(e.count) == len(e.ring) {
		bigger := make([]entry, max(2*len(e.ring), 8))
		for n := e.inserted - e.count + 1; n <= e.inserted; n++ {
			bigger[n&uint64(len(bigger)-1)] = e.ring[n&uint64(len(e.ring)-1)]
		}
		e.ring = bigger
	}
	e.inserted++
	e.count++
	e.size += x.size()
	e.ring[e.inserted&uint64(len(e.ring)-1)] = x
}

// evict makes room for n bytes.
func (e *Encoder) evict(n uint32) {
	for e.count > 0 && e.size+n > e.limit {
		x := &e.ring[(e.inserted-e.count+1)&uint64(len(e.ring)-1)]
		e.size -= x.size()
		*x = entry{}
		e.count--
	}
}

// literal writes a field in full, its name by the static table where that has it.
func literal(b []byte, pattern byte, prefix uint, name, value string) []byte {
	if i := static(name); i > 0 {
		b = integer(b, pattern, prefix, uint64(i))
	} else {
		b = append(b, pattern)
		b = integer(b, 0, 7, uint64(len(name)))
		for i := 0; i < len(name); i++ {
			c := name[i]
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			b = append(b, c)
		}
	}
	b = integer(b, 0, 7, uint64(len(value)))
	return append(b, value...)
}

// integer writes n behind a pattern in prefix bits and as many bytes as it takes
// (RFC 7541, 5.1).
func integer(b []byte, pattern byte, prefix uint, n uint64) []byte {
	most := uint64(1)<<prefix - 1
	if n < most {
		return append(b, pattern|byte(n))
	}
	b = append(b, pattern|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
