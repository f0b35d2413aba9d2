package door

import (
	"context"
	"math/rand/v2"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/record"
)

// Gate is the decision engine with its plan and its recorder, as a door needs them.
type Gate interface {
	// Acquire gives a clean exchange that holds the plan of this moment, and
	// Release takes it back: nothing of it may be used afterwards.
	Acquire() *gate.Exchange
	Release(ex *gate.Exchange)
	// Decide ends with the record step: afterwards the decision is written down,
	// or ex.Err is set. A door that refuses a request itself sets ex.Err and
	// ex.Step first, and the refusal is recorded and nothing else.
	Decide(ctx context.Context, ex *gate.Exchange)
	// Challenges are the values of WWW-Authenticate that go with a 401.
	Challenges(ex *gate.Exchange) []string
	// Complete records what became of the request; called once for every Decide.
	Complete(ex *gate.Exchange, c record.Completion)
}

// NewID makes the id of a request: 32 lower-case hexadecimal digits. It is a name
// and no secret, so the runtime's generator, seeded by the system, will do.
func NewID() string {
	var b [32]byte
	FillID(&b)
	return string(b[:])
}

// FillID writes the id of a request where it costs no allocation.
func FillID(b *[32]byte) {
	const digits = "0123456789abcdef"
	for i := 0; i < len(b); i += 16 {
		for v, j := rand.Uint64(), i; j < i+16; j++ {
			b[j] = digits[v&15]
			v >>= 4
		}
	}
}
