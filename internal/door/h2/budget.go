package h2

import "time"

// What a client may ask of us for nothing. Frames that bring no request further,
// and streams that end before their answer, cost; answers, and what is useful,
// earn; and time heals. Who runs out is told to calm down and cut off.
//
// This is what bounds the floods of CVE-2019-9512 (PING), -9513 (PRIORITY), -9515
// (SETTINGS) and -9518 (empty frames), CVE-2023-44487 (rapid reset), CVE-2025-8671
// (streams that we are made to reset), and whatever comes next of the kind.
const (
	mostFrames  = 2000 // frames for nothing, from rest
	moreFrames  = 200  // a second
	mostResets  = 500  // streams that end early, from rest
	moreResets  = 50   // a second
	earnedFrame = 2    // by a frame that is useful, either way
	// earnedBytes of DATA earn one more each: clients there are that acknowledge
	// every few kilobytes, for the stream and for the connection.
	earnedBytes = 512
)

// budget is guarded by conn.mu.
type budget struct {
	frames, resets int32
	at             int64 // on the server's clock
}

func (b *budget) start(now int64) { *b = budget{mostFrames, mostResets, now} }

func (b *budget) heal(now int64) {
	if d := now - b.at; d > int64(tick) {
		b.at = now
		d = min(d, int64(time.Minute))
		b.frames = min(b.frames+int32(d*moreFrames/int64(time.Second)), mostFrames)
		b.resets = min(b.resets+int32(d*moreResets/int64(time.Second)), mostResets)
	}
}

// idleFrame takes n for a frame that brings nothing; false = too many.
func (b *budget) idleFrame(n int32, now int64) bool {
	b.heal(now)
	b.frames -= n
	return b.frames >= 0
}

// earlyEnd takes one for a stream that ended before its answer.
func (b *budget) earlyEnd(now int64) bool {
	b.heal(now)
	b.resets--
	return b.resets >= 0
}

// useful takes note of a frame that brought n bytes of a body, or none, further.
func (b *budget) useful(n int) {
	b.frames = min(b.frames+earnedFrame+int32(n/earnedBytes), mostFrames)
}

func (b *budget) answered() { b.resets = min(b.resets+1, mostResets) }
