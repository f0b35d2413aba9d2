package authz

import (
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Facts are what permissions and conditions see of one request. The gate fills
// and reuses them; nothing of them is kept.
type Facts struct {
	Request  *model.Request
	Path     string // as matched: canonical, or verbatim where the route says so
	ClientIP netip.Addr
	Host     string // folded, without port

	User, Client  *model.User // nil = nobody
	Groups, Roles []string    // the user's effective ones
	Attributes    map[string]any
	Credential    struct {
		Type   string
		Scopes []string
		Issued time.Time // zero = unknown
	}
	Claims map[string]any
}
