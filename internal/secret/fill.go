package secret

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/crypto/blake2b"
)

const (
	blockWords = 128 // of 64 bits: 1 KiB
	slices     = 4   // of a pass, each lane's part of which is a segment
)

type block [blockWords]uint64

// arena is the memory that hashes are computed in, one after the other: it is
// large, and to get it anew each time would be work for the collector.
type arena struct{ blocks []block }

// kept is the largest arena, in blocks, that is kept for the next hash.
const kept = 32 * 1024

// get answers n blocks, with whatever the last hash left in them.
func (a *arena) get(n uint32) []block {
	if n > kept {
		return make([]block, n)
	}
	if uint32(len(a.blocks)) < n {
		a.blocks = make([]block, n)
	}
	return a.blocks[:n]
}

type filler struct {
	lanes, laneLen, segment uint32
	passes                  uint32
	memory                  []block
	breath                  breath
}

// derive computes argon2id (RFC 9106) in slices, with breath between them. A hash
// takes some fifty milliseconds, and a library that computes it in one go holds up
// every other request for as long as the scheduler lets it: on one processor that
// was 29 ms at the median, on two 10 ms at the 99th percentile.
func (a *arena) derive(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
	h0 := firstHash(password, salt, passes, memory, uint32(lanes), length)
	p := uint32(lanes)
	f := &filler{lanes: p, segment: memory / (slices * p), passes: passes}
	f.laneLen = f.segment * slices
	f.breath.begin()
	defer f.breath.end()
	f.memory = a.get(f.laneLen * p)
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
func permute(pa0, pa1, pa2, pa3, pb0, pb1, pb2, pb3, pc0, pc1, pc2, pc3, pd0, pd1, pd2, pd3 *uint64) {
	a0, b0, c0, d0 := quarter(*pa0, *pb0, *pc0, *pd0)
	a1, b1, c1, d1 := quarter(*pa1, *pb1, *pc1, *pd1)
	a2, b2, c2, d2 := quarter(*pa2, *pb2, *pc2, *pd2)
	a3, b3, c3, d3 := quarter(*pa3, *pb3, *pc3, *pd3)
	*pa0, *pb1, *pc2, *pd3 = quarter(a0, b1, c2, d3)
	*pa1, *pb2, *pc3, *pd0 = quarter(a1, b2, c3, d0)
	*pa2, *pb3, *pc0, *pd1 = quarter(a2, b3, c0, d1)
	*pa3, *pb0, *pc1, *pd2 = quarter(a3, b0, c1, d2)
}

func quarter(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a, b, c, d = half(a, b, c, d, 32, 40)
	return half(a, b, c, d, 48, 1)
}

// half turns left by what the RFC turns right.
func half(a, b, c, d uint64, turnD, turnB int) (uint64, uint64, uint64, uint64) {
	a += b + 2*uint64(uint32(a))*uint64(uint32(b))
	d = bits.RotateLeft64(d^a, turnD)
	c += d + 2*uint64(uint32(c))*uint64(uint32(d))
	return a, bits.RotateLeft64(b^c, turnB), c, d
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
