package model

import "time"

// EventType is the family of an audit event.
type EventType string

// The types of event.
const (
	EventAccess       EventType = "access"
	EventLogin        EventType = "login"
	EventAdmin        EventType = "admin"
	EventProvisioning EventType = "provisioning"
	EventSecurity     EventType = "security"
)

// Event is one audit event. An access event is written in two parts that share
// the requestId: the decision, before anything is forwarded, and the completion.
type Event struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	Node       string    `json:"node"`
	Seq        uint64    `json:"seq"`
	Type       EventType `json:"type"`
	Part       string    `json:"part,omitempty"` // access: decision | completion
	Outcome    string    `json:"outcome"`        // allowed | denied | error
	Step       string    `json:"step,omitempty"`
	Code       Code      `json:"code,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	RequestID  string    `json:"requestId,omitempty"`
	Actor      string    `json:"actor,omitempty"` // administrator, provider or node that made a change
	User       string    `json:"user,omitempty"`
	Credential string    `json:"credential,omitempty"`
	Provider   string    `json:"provider,omitempty"`
	Service    string    `json:"service,omitempty"`
	Route      string    `json:"route,omitempty"`
	Rule       string    `json:"rule,omitempty"`
	Method     string    `json:"method,omitempty"`
	Host       string    `json:"host,omitempty"`
	Path       string    `json:"path,omitempty"` // without query, which may hold secrets
	Status     int       `json:"status,omitempty"`
	BytesIn    int64     `json:"bytesIn,omitempty"`
	BytesOut   int64     `json:"bytesOut,omitempty"`
	ClientIP   string    `json:"clientIP,omitempty"`
	UserAgent  string    `json:"userAgent,omitempty"`
	DurationMs float64   `json:"durationMs,omitempty"`
	Revision   int64     `json:"revision,omitempty"`
	Count      int64     `json:"count,omitempty"` // security: how many more like the one before it were coalesced
	Changes    []Change  `json:"changes,omitempty"`
}

// Change is one object's difference in a revision, secrets masked.
type Change struct {
	Kind   string `json:"kind"`   // the collection, such as routes
	Name   string `json:"name"`   // the object
	Action string `json:"action"` // create | update | delete
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}
