package secret

import (
	"encoding/binary"
	"math/bits"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
)

// derive computes argon2id (RFC 9106). Where Go runs on one processor alone, a
// hash of thirty milliseconds would hold up every other request for as long as the
// scheduler lets it, up to ten milliseconds at a time; there it is computed in
// slices, with breath between them. Elsewhere the others have processors left, and
// the library's assembly takes half the time.
func derive(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
	if runtime.GOMAXPROCS(0) > 1 {
		return argon2.IDKey(password, salt, passes, memory, lanes, length)
	}
	return deriveSliced(password, salt, passes, memory, lanes, length)
}

const (
	blockWords = 128 // of 64 bits: 1 KiB
	slices     = 4   // of a pass, each lane's part of which is a segment
)

type block [blockWords]uint64

// blocks keeps the memory of one hash for the next, for it is large.
var blocks sync.Pool

type filler struct {
	lanes, laneLen, segment uint32
	passes                  uint32
	memory                  []block
	breath                  breath
}

func deriveSliced(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
	h0 := firstHash(password, salt, passes, memory, uint32(lanes), length)
	p := uint32(lanes)
	f := &filler{lanes: p, segment: memory / (slices * p), passes: passes}
	f.laneLen = f.segment * slices
	f.breath.begin()
	if m, ok := blocks.Get().(*[]block); ok && len(*m) == int(f.laneLen*p) {
		f.memory = *m
	} else {
		f.memory = make([]block, f.laneLen*p)
	}
	defer func() { blocks.Put(&f.memory) }()
	for lane := range p {
		for i := range uint32(2) {
			f.memory[lane*f.laneLen+i].load(longHash(append(append(h0[:len(h0):len(h0)], le32(i)...), le32(lane)...), 8*blockWords))
		}
	}
	for pass := range passes {
		for slice := range uint32(slices) {
			for lane := range p {
				f.fillSegment(pass, slice, lane)
			}
		}
	}
	last := f.memory[f.laneLen-1]
	for lane := uint32(1); lane < p; lane++ {
		last.xor(&f.memory[(lane+1)*f.laneLen-1])
	}
	return longHash(last.bytes(), length)
}

// fillSegment is RFC 9106, 3.2, steps 5 and 6, for one segment.
func (f *filler) fillSegment(pass, slice, lane uint32) {
	independent := pass == 0 && slice < slices/2 // 3.4.1.3: the hybrid of both ways to address
	var in, addresses block
	in = block{uint64(pass), uint64(lane), uint64(slice), uint64(len(f.memory)), uint64(f.passes), 2}
	first := uint32(0)
	if pass == 0 && slice == 0 {
		first = 2
	}
	base := lane * f.laneLen
	for i := first; i < f.segment; i++ {
		at := slice*f.segment + i
		prev := base + (at+f.laneLen-1)%f.laneLen
		var j uint64
		if independent {
			if i%blockWords == 0 || i == first {
				in[6]++
				addresses = block{}
				addresses.mix(&block{}, &in, false)
				a := addresses
				addresses.mix(&block{}, &a, false)
			}
			j = addresses[i%blockWords]
		} else {
			j = f.memory[prev][0]
		}
		ref := f.reference(pass, slice, lane, i, j)
		f.memory[base+at].mix(&f.memory[prev], &f.memory[ref], pass > 0)
		if i%32 == 0 {
			f.breath.take()
		}
	}
}

// reference is RFC 9106, 3.4.2: which block goes into the next one.
func (f *filler) reference(pass, slice, lane, i uint32, j uint64) uint32 {
	from := uint32(j>>32) % f.lanes
	if pass == 0 && slice == 0 {
		from = lane
	}
	var area, start uint32
	if pass == 0 {
		area = slice * f.segment
	} else {
		area = f.laneLen - f.segment
		start = (slice + 1) * f.segment % f.laneLen
	}
	switch {
	case from == lane:
		area += i - 1
	case i == 0:
		area--
	}
	x := uint64(uint32(j))
	x = x * x >> 32
	x = uint64(area) * x >> 32
	return from*f.laneLen + (start+area-1-uint32(x))%f.laneLen
}

// mix is the compression function G of RFC 9106, 3.5. b may be neither x nor y.
func (b *block) mix(x, y *block, add bool) {
	var r, z block
	for i := range r {
		r[i] = x[i] ^ y[i]
	}
	z = r
	for i := 0; i < blockWords; i += 16 {
		permute(&z[i], &z[i+1], &z[i+2], &z[i+3], &z[i+4], &z[i+5], &z[i+6], &z[i+7],
			&z[i+8], &z[i+9], &z[i+10], &z[i+11], &z[i+12], &z[i+13], &z[i+14], &z[i+15])
	}
	for i := 0; i < 16; i += 2 {
		permute(&z[i], &z[i+1], &z[i+16], &z[i+17], &z[i+32], &z[i+33], &z[i+48], &z[i+49],
			&z[i+64], &z[i+65], &z[i+80], &z[i+81], &z[i+96], &z[i+97], &z[i+112], &z[i+113])
	}
	if add {
		b.xor(&r)
		b.xor(&z)
		return
	}
	for i := range b {
		b[i] = r[i] ^ z[i]
	}
}

// permute is P of RFC 9106, 3.6: a round of BLAKE2b with multiplication.
func permute(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3 *uint64) {
	*a0, *b0, *c0, *d0 = quarter(*a0, *b0, *c0, *d0)
	*a1, *b1, *c1, *d1 = quarter(*a1, *b1, *c1, *d1)
	*a2, *b2, *c2, *d2 = quarter(*a2, *b2, *c2, *d2)
	*a3, *b3, *c3, *d3 = quarter(*a3, *b3, *c3, *d3)
	*a0, *b1, *c2, *d3 = quarter(*a0, *b1, *c2, *d3)
	*a1, *b2, *c3, *d0 = quarter(*a1, *b2, *c3, *d0)
	*a2, *b3, *c0, *d1 = quarter(*a2, *b3, *c0, *d1)
	*a3, *b0, *c1, *d2 = quarter(*a3, *b0, *c1, *d2)
}

func quarter(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a += b + 2*uint64(uint32(a))*uint64(uint32(b))
	d = bits.RotateLeft64(d^a, -32)
	c += d + 2*uint64(uint32(c))*uint64(uint32(d))
	b = bits.RotateLeft64(b^c, -24)
	a += b + 2*uint64(uint32(a))*uint64(uint32(b))
	d = bits.RotateLeft64(d^a, -16)
	c += d + 2*uint64(uint32(c))*uint64(uint32(d))
	b = bits.RotateLeft64(b^c, -63)
	return a, b, c, d
}

func (b *block) xor(x *block) {
	for i := range b {
		b[i] ^= x[i]
	}
}

func (b *block) load(p []byte) {
	for i := range b {
		b[i] = binary.LittleEndian.Uint64(p[8*i:])
	}
}

func (b *block) bytes() []byte {
	out := make([]byte, 0, 8*blockWords)
	for _, w := range b {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out
}

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// firstHash is H0 of RFC 9106, 3.2.
func firstHash(password, salt []byte, passes, memory, lanes, length uint32) []byte {
	const version, argon2idType = 0x13, 2
	var in []byte
	for _, n := range []uint32{lanes, length, memory, passes, version, argon2idType, uint32(len(password))} {
		in = binary.LittleEndian.AppendUint32(in, n)
	}
	in = append(in, password...)
	in = append(append(in, le32(uint32(len(salt)))...), salt...)
	in = append(in, make([]byte, 8)...) // neither key nor associated data
	sum := blake2b.Sum512(in)
	return sum[:]
}

// longHash is H' of RFC 9106, 3.3.
func longHash(in []byte, length uint32) []byte {
	in = append(le32(length), in...)
	if length <= blake2b.Size {
		return shortHash(in, int(length))
	}
	var out []byte
	v := shortHash(in, blake2b.Size)
	for length > blake2b.Size {
		out = append(out, v[:blake2b.Size/2]...)
		if length -= blake2b.Size / 2; length > blake2b.Size {
			v = shortHash(v, blake2b.Size)
		}
	}
	return append(out, shortHash(v, int(length))...)
}

func shortHash(in []byte, length int) []byte {
	h, err := blake2b.New(length, nil)
	if err != nil {
		panic("BLAKE2b of " + string(le32(uint32(length))) + " bytes: " + err.Error())
	}
	h.Write(in)
	return h.Sum(nil)
}

// breath divides long work into slices. It sleeps between them and does not only
// yield: a goroutine that merely yields is next in line before the network is
// looked at. While nobody else has work, the slices grow, for a sleep then takes a
// whole millisecond.
type breath struct {
	since time.Time
	slice time.Duration
}

const (
	shortest = 200 * time.Microsecond
	longest  = time.Millisecond
)

func (b *breath) begin() { b.since, b.slice = time.Now(), shortest }

func (b *breath) take() {
	now := time.Now()
	if now.Sub(b.since) < b.slice {
		return
	}
	time.Sleep(20 * time.Microsecond)
	b.since = time.Now()
	if b.since.Sub(now) > 800*time.Microsecond { // nobody else was there
		b.slice = min(2*b.slice, longest)
	} else {
		b.slice = shortest
	}
}
