package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// health is the answer of the probes. They say no more to strangers.
type health struct {
	Status string `json:"status"`
}

// seeing is the operations that only look.
func (h *Handler) seeing() []operation {
	follow := parameter{"follow", "Stream events as they happen, one JSON object a line.", yesNo}
	return []operation{
		{method: "GET", path: "/v2/auditEvents", id: "listAuditEvents", summary: "List audit events, newest first, or follow them", tag: "auditEvents",
			query: []parameter{limited, cursor, filter, sorted, follow}, gives: page[model.Event]{}, status: 200, serve: h.listEvents},
		{method: "GET", path: "/v2/auditEvents/{id}", id: "getAuditEvent", summary: "Read one audit event", tag: "auditEvents",
			gives: model.Event{}, status: 200, also: []int{304}, serve: h.getEvent},
		{method: "GET", path: "/v2/status", id: "getStatus", summary: "Read the state of the gateway and of what it depends on", tag: "status",
			gives: map[string]any{}, status: 200, serve: h.status},
		{method: "POST", path: "/v2/explain", id: "explain", summary: "Decide a hypothetical request, step by step", tag: "explain", roles: explorers,
			takes: ExplainRequest{}, gives: model.Decision{}, status: 200, serve: h.explain},
		{method: "GET", path: "/v2/openapi.json", id: "getOpenAPI", summary: "Read this document", tag: "status",
			gives: map[string]any{}, status: 200, serve: h.openAPI},
		{method: "GET", path: "/healthz", id: "healthz", summary: "Whether the process lives", tag: "probes", open: true,
			gives: health{}, status: 200, serve: func(c *call) error { return c.send(http.StatusOK, health{"ok"}) }},
		{method: "GET", path: "/readyz", id: "readyz", summary: "Whether the gateway can serve", tag: "probes", open: true,
			gives: health{}, status: 200, serve: h.ready},
	}
}

func notBuilt() error { return model.NewError(model.NotFound, "This gateway does not serve this.") }

func (h *Handler) listEvents(c *call) error {
	if h.Audit == nil {
		return notBuilt()
	}
	if by := c.query["sort"]; by != "" && by != "-time" {
		return invalid("sort", "is -time, newest first: events are read in no other order")
	}
	q := AuditQuery{Filter: c.query["filter"], Cursor: c.query["cursor"], Limit: c.count("limit")}
	if c.flag("follow") {
		return h.follow(c, q)
	}
	items, next, err := h.Audit.Query(c.r.Context(), q)
	if err != nil {
		return err
	}
	if items == nil {
		items = []model.Event{}
	}
	return c.send(http.StatusOK, page[model.Event]{Items: items, NextCursor: next})
}

// recheck is how often an open stream asks whether its administrator still is one.
const recheck = 2 * time.Second

// follow streams events until the client goes, or the administrator's right to
// see them.
func (h *Handler) follow(c *call, q AuditQuery) error {
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	control := http.NewResponseController(c.w)
	_ = control.SetWriteDeadline(time.Time{}) // a stream has no end to set a time to; writers that know none need none
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.sent = true
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	if err := control.Flush(); err != nil {
		return err
	}
	go func() {
		t := time.NewTicker(recheck)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if !h.logins.still(ctx, c.caller, h.Now()) {
					cancel()
				}
			}
		}
	}()
	err := h.Audit.Follow(ctx, q, func(e model.Event) error {
		b, err := json.Marshal(&e)
		if err != nil {
			return err
		}
		if _, err := c.w.Write(append(b, '\n')); err != nil {
			return err
		}
		return control.Flush()
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (h *Handler) getEvent(c *call) error {
	id := c.params["id"]
	if h.Audit == nil || !model.ValidToken(id) { // a token has no quote that could end the filter's
		return notBuilt()
	}
	q := AuditQuery{Filter: `id eq "` + id + `"`, Limit: 1}
	for {
		items, next, err := h.Audit.Query(c.r.Context(), q)
		switch {
		case err != nil:
			return err
		case len(items) > 0:
			return c.sendObject(http.StatusOK, `"`+id+`"`, &items[0]) // an event never changes
		case next == "" || next == q.Cursor:
			return model.NewError(model.NotFound, "There is no such event.")
		}
		q.Cursor = next
	}
}

func (h *Handler) status(c *call) error {
	if h.Status == nil {
		return notBuilt()
	}
	return c.send(http.StatusOK, h.Status(c.r.Context()))
}

func (h *Handler) explain(c *call) error {
	if h.Explain == nil {
		return notBuilt()
	}
	var r ExplainRequest
	if err := c.into(&r); err != nil {
		return err
	}
	if r.URL == "" {
		return invalid("url", "is missing; write an absolute URL or a path")
	}
	d, err := h.Explain.Explain(c.r.Context(), r)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, d)
}

func (h *Handler) ready(c *call) error {
	if h.Ready != nil {
		if err := h.Ready(c.r.Context()); err != nil {
			return model.NewError(model.ConfigurationUnavailable, "The gateway is not ready.").WithCause(err)
		}
	}
	return c.send(http.StatusOK, health{"ready"})
}

func (h *Handler) openAPI(c *call) error {
	return c.send(http.StatusOK, json.RawMessage(h.document()))
}
