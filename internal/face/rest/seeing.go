package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
)

// health is the answer of the probes. They say no more to strangers.
type health struct {
	Status string `json:"status"`
}

// seeing is the operations that only look.
func (h *Handler) seeing() []operation {
	follow := openapi.Parameter{Name: "follow", Text: "Stream events as they happen, one JSON object a line.", Kind: openapi.Flag}
	return []operation{
		at(openapi.Operation{Method: "GET", Path: "/v2/auditEvents", ID: "listAuditEvents", Summary: "List audit events, newest first, or follow them", Tag: "auditEvents",
			Query: []openapi.Parameter{limited, cursor, filter, sorted, follow}, Gives: page[model.Event]{}, Status: 200}, h.listEvents),
		at(openapi.Operation{Method: "GET", Path: "/v2/auditEvents/{id}", ID: "getAuditEvent", Summary: "Read one audit event", Tag: "auditEvents",
			Gives: model.Event{}, Status: 200, Also: []int{304}}, h.getEvent),
		at(openapi.Operation{Method: "GET", Path: "/v2/status", ID: "getStatus", Summary: "Read the state of the gateway and of what it depends on", Tag: "status",
			Gives: map[string]any{}, Status: 200}, h.status),
		at(openapi.Operation{Method: "POST", Path: "/v2/explain", ID: "explain", Summary: "Decide a hypothetical request, step by step", Tag: "explain", Roles: explorers,
			Takes: ExplainRequest{}, Gives: model.Decision{}, Status: 200}, h.explain),
		at(openapi.Operation{Method: "GET", Path: "/v2/openapi.json", ID: "getOpenAPI", Summary: "Read this document", Tag: "status",
			Gives: map[string]any{}, Status: 200}, h.openAPI),
		at(openapi.Operation{Method: "GET", Path: "/healthz", ID: "healthz", Summary: "Whether the process lives", Tag: "probes", Open: true,
			Gives: health{}, Status: 200}, alive),
		at(openapi.Operation{Method: "GET", Path: "/readyz", ID: "readyz", Summary: "Whether the gateway can serve", Tag: "probes", Open: true,
			Gives: health{}, Status: 200}, h.ready),
	}
}

func alive(c *call) error { return c.send(http.StatusOK, health{"ok"}) }

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
				if !h.logins.Still(ctx, c.caller) {
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
