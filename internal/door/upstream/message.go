package upstream

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Request is what is sent to a service. Fields that are not Dropped, then Add, are
// sent as they are, but for framing (Host, Content-Length, Transfer-Encoding,
// Connection, TE, Trailer, Upgrade, Expect), which is written anew for this hop.
// Its strings may be views into a buffer of the door's: nothing keeps them.
type Request struct {
	Method  string
	Target  string // path and query, byte for byte
	Host    string // what the backend sees; "" = the target's own
	Fields  []model.Field
	Add     []model.Field
	Body    io.Reader // nil = none; its error other than io.EOF aborts the request
	Length  int64     // of Body; -1 = unknown
	Expects bool      // the client waits for 100 (Continue) before it sends Body
	// Trailers: the client can take trailer fields (TE: trailers).
	Trailers bool
	Upgrade  string // "" or the protocol to switch to
	Spent    int    // how many times it was sent again before it came here, as Retries counts
	Sent     bool   // it may have reached a target before it came here
	Key      string // what balance: hash goes by
	// Declared are the names of the trailer fields that will follow Body, and
	// Trailer gives the fields once Body has ended; nil = none.
	Declared []string
	Trailer  func() []model.Field
	// Inform passes an interim answer on (1xx but 101, and but a 100 where Expects: reading
	// Body says that); nil drops them.
	// It may be called from another goroutine, but never after Forward returns.
	Inform func(status int, fields http.Header)

	Trail Trail // filled in by Forward
}

// Trail is what became of a request on its way.
type Trail struct {
	Target   string        // URL of the target that was tried last
	Address  string        // and its address
	Attempts int           // how many targets were tried
	Wait     time.Duration // for the answer to begin, all attempts together
}

// Response is a service's answer. Body must be closed.
type Response struct {
	Status int
	Header http.Header // as received, hop-by-hop fields included
	Length int64       // of Body; -1 = unknown
	// Body ends with io.EOF only where the target ended it properly.
	Body io.ReadCloser
	// Trailer gives the trailer fields: the names that were declared before Body
	// is read, all with their values after its end.
	Trailer func() http.Header
	// Tunnel is the connection itself after 101 (Switching Protocols); else nil.
	Tunnel Tunnel
}

// Tunnel is a connection that has switched protocols.
type Tunnel interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// carrier speaks HTTP to one address. An implementation sends a request at most
// once, unless it knows that the target has not processed it, or the method is safe
// and a kept connection died under it before a byte of the answer: then once more,
// over a fresh one. What was sent before (progress.resent) goes over fresh ones alone.
type carrier interface {
	send(ctx context.Context, r *Request, body *attempt, p *progress) (*Response, error)
	// connect opens and closes a connection: is anybody there?
	connect(ctx context.Context) error
	// close lets connections go as they become idle.
	close()
}
