package rest

import (
	"net/http"
	"strconv"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/store"
)

// documents is the operations on whole sets.
func (h *Handler) documents() []operation {
	prune := parameter{"prune", "Delete what an earlier apply made and this one omits.", yesNo}
	return []operation{
		{method: "POST", path: "/v2/apply", id: "apply", summary: "Replace each object that the document names, all or none", tag: "documents", query: []parameter{dryRun, prune},
			takes: model.Document{}, gives: provision.Outcome{}, status: 200, large: true, serve: h.apply},
		{method: "GET", path: "/v2/export", id: "export", summary: "Read everything as one document, secrets masked", tag: "documents", roles: overseers,
			gives: model.Document{}, status: 200, serve: h.export},
	}
}

func (h *Handler) apply(c *call) error {
	var doc model.Document
	if err := c.into(&doc); err != nil {
		return err
	}
	c.body, c.node = nil, nil // both may be very large, and are not needed any more
	out, err := h.Provision.Apply(c.r.Context(), c.actor(), &doc, provision.ApplyOptions{DryRun: c.flag("dryRun"), Prune: c.flag("prune"), Owner: "apply"})
	if err != nil {
		return err
	}
	return c.sendOutcome(out)
}

func (h *Handler) export(c *call) error {
	doc, err := h.Provision.Export(c.r.Context())
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, doc)
}

// history is the operations on revisions.
func (h *Handler) history() []operation {
	return []operation{
		{method: "GET", path: "/v2/revisions", id: "listRevisions", summary: "List revisions, newest first", tag: "revisions", query: []parameter{limited, cursor},
			gives: page[store.Revision]{}, status: 200, serve: h.listRevisions},
		{method: "GET", path: "/v2/revisions/{n}", id: "getRevision", summary: "Read one revision with its changes", tag: "revisions",
			gives: store.Revision{}, status: 200, also: []int{304}, serve: h.getRevision},
		{method: "POST", path: "/v2/revisions/{n}/rollback", id: "rollback", summary: "Restore the state of a revision, as a new one", tag: "revisions", query: []parameter{dryRun},
			gives: provision.Outcome{}, status: 200, conditional: true, serve: h.rollback},
	}
}

func (h *Handler) listRevisions(c *call) error {
	limit, before := c.count("limit"), int64(0)
	if limit == 0 {
		limit = 100
	}
	if s := c.query["cursor"]; s != "" {
		n, ok := number(s)
		if !ok {
			return invalid("cursor", "is not a cursor of this collection")
		}
		before = n
	}
	list, err := h.Provision.Revisions(c.r.Context(), before, limit+1)
	if err != nil {
		return err
	}
	out := page[store.Revision]{Items: list}
	if len(list) > limit {
		out.Items = list[:limit]
		out.NextCursor = strconv.FormatInt(list[limit-1].Number, 10)
	}
	if out.Items == nil {
		out.Items = []store.Revision{}
	}
	return c.send(http.StatusOK, out)
}

func (h *Handler) getRevision(c *call) error {
	n, ok := number(c.params["n"])
	if !ok {
		return model.NewError(model.NotFound, "Revisions have numbers, and this is none.")
	}
	r, err := h.Provision.RevisionByNumber(c.r.Context(), n)
	if err != nil {
		return err
	}
	return c.sendObject(http.StatusOK, `"`+strconv.FormatInt(r.Number, 10)+`"`, r)
}

func (h *Handler) rollback(c *call) error {
	n, ok := number(c.params["n"])
	if !ok {
		return model.NewError(model.NotFound, "Revisions have numbers, and this is none.")
	}
	cond, err := c.condition()
	if err != nil {
		return err
	}
	out, err := h.Provision.Rollback(c.r.Context(), c.actor(), n, cond)
	if err != nil {
		return err
	}
	return c.sendOutcome(out)
}

// number reads a revision's number in its one spelling.
func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == s
}
