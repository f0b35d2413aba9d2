package gate

import (
	"net/netip"
	"unsafe"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authz"
	"github.com/sallyport/sallyport/internal/gate/match"
	"github.com/sallyport/sallyport/internal/model"
)

// Step is the name of a step of the journey; it labels metrics, audit and why.
type Step string

// The steps, in their order. Accept and parse are the door's, record and
// complete the recorder's.
const (
	StepAccept       Step = "accept"
	StepParse        Step = "parse"
	StepStrip        Step = "strip"
	StepLoop         Step = "loop"
	StepMatch        Step = "match"
	StepPreflight    Step = "preflight"
	StepAddress      Step = "address"
	StepAuthenticate Step = "authenticate"
	StepResolve      Step = "resolve"
	StepCSRF         Step = "csrf"
	StepLimits       Step = "limits"
	StepAuthorise    Step = "authorise"
	StepIdentify     Step = "identify"
	StepRecord       Step = "record"
	StepForward      Step = "forward"
	StepComplete     Step = "complete"
)

// Exchange is the typed state of one request. A door fills Request, ID and Plan,
// calls Decide, and reads the rest. It may be reused after Reset.
type Exchange struct {
	model.Request
	ID   string // of the request; replaces the client's X-Request-Id
	Plan *Plan  // one plan for the whole journey; nil answers configuration_unavailable

	// Explain collects Trace, and keeps the decision free of effects: no user is
	// made, nothing is counted.
	Explain bool
	// Assume, in an explain alone, is the user that the request is taken to be
	// authenticated as; nil = judge the credentials in the request.
	Assume *authn.Proof

	// What was found.
	Path     match.Path
	Route    *Route // nil until matched
	ClientIP netip.Addr
	Proof    *authn.Proof // the user's; nil on public routes and for nobody on optional ones
	Client   *authn.Proof // the application that accompanies a person
	Access   *Access      // the user's effective rights under Plan
	Methods  [8]MethodFinding
	Found    int      // how many of Methods are filled
	Forged   []string // identity headers that the client tried to set, as spelled
	Reported []*model.Error
	Dropped  string // roles and groups that the provider asserts and that do not exist here
	Rule     string // the rule or permission that decided

	// What the door must do.
	Err       *model.Error // nil = forward, or give Preflight's answer
	Step      Step         // the step that refused
	Detail    string       // why, for audit and explain; never for the caller
	Login     string       // where a browser that navigates goes to sign in, in the refusal's place
	Preflight bool         // answer 204 with Response, forward nothing
	Target    string       // path and query to send to the service
	Add       []model.Field
	Response  []model.Field // fields to add to whatever is answered: CORS, CSRF cookie
	Trace     []model.Finding

	// Event is the recorder's, kept here so that a request allocates none.
	Event model.Event

	idText  [32]byte
	proofs  [authn.MaxMethods]*authn.Proof
	ip      ipText
	authz   authz.Facts
	scratch []byte
	cookies []byte // what is left of Cookie fields
}

// MethodFinding is one method's outcome, kept for explain and audit.
type MethodFinding struct {
	Method  string
	Outcome authn.Outcome
	Err     *model.Error
	Detail  string
}

// Reset readies the exchange for the next request and keeps its buffers.
func (ex *Exchange) Reset() {
	fields, add, response, forged := ex.Fields[:0], ex.Add[:0], ex.Response[:0], ex.Forged[:0]
	*ex = Exchange{Add: add, Response: response, Forged: forged, scratch: ex.scratch, cookies: ex.cookies[:0], ip: ex.ip}
	ex.Fields = fields
}

// Username is the caller's name, "" for nobody.
func (ex *Exchange) Username() string {
	if ex.Proof == nil || ex.Proof.Principal == nil {
		return ""
	}
	return ex.Proof.Principal.User.Username
}

// Code is the decision's code: allowed where nothing refused.
func (ex *Exchange) Code() model.Code {
	if ex.Err == nil {
		return model.Allowed
	}
	return ex.Err.Code
}

// ipText keeps the text of a client's address from one request to the next of a
// connection.
type ipText struct {
	addr netip.Addr
	text string
}

// IP is the client's address as text; "" before it is known.
func (ex *Exchange) IP() string {
	if !ex.ClientIP.IsValid() {
		ex.ClientIP = ex.Peer
	}
	if ex.ip.addr != ex.ClientIP || ex.ip.text == "" {
		ex.ip = ipText{ex.ClientIP, ex.ClientIP.String()}
	}
	return ex.ip.text
}

// peerText is the peer's address as text.
func (ex *Exchange) peerText() string {
	if ex.ClientIP == ex.Peer {
		return ex.IP()
	}
	return ex.Peer.String()
}

// NameIt gives the exchange an id that lives as long as its request: fill writes
// its 32 bytes. Whoever keeps the id for longer copies it.
func (ex *Exchange) NameIt(fill func(*[32]byte)) {
	fill(&ex.idText)
	ex.ID = unsafe.String(&ex.idText[0], len(ex.idText))
}
