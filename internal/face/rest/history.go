package rest

import (
	"net/http"
	"strconv"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/store"
)

// documents is the operations on whole sets.
func (h *Handler) documents() []operation {
	prune := openapi.Parameter{Name: "prune", Text: "Delete what an earlier apply made and this one omits.", Kind: openapi.Flag}
	return []operation{
		at(openapi.Operation{Method: "POST", Path: "/v2/apply", ID: "apply", Summary: "Replace each object that the document names, all or none", Tag: "documents", Query: []openapi.Parameter{dryRun, prune},
			Takes: model.Document{}, Gives: provision.Outcome{}, Status: 200, Large: true},
			h.apply),
		at(openapi.Operation{Method: "GET", Path: "/v2/export", ID: "export", Summary: "Read everything as one document, secrets masked", Tag: "documents", Roles: overseers,
			Gives: model.Document{}, Status: 200},
			h.export),
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
		at(openapi.Operation{Method: "GET", Path: "/v2/revisions", ID: "listRevisions", Summary: "List revisions, newest first", Tag: "revisions", Query: []openapi.Parameter{limited, cursor},
			Gives: page[store.Revision]{}, Status: 200},
			h.listRevisions),
		at(openapi.Operation{Method: "GET", Path: "/v2/revisions/{n}", ID: "getRevision", Summary: "Read one revision with its changes", Tag: "revisions",
			Gives: store.Revision{}, Status: 200, Also: []int{304}},
			h.getRevision),
		at(openapi.Operation{Method: "POST", Path: "/v2/revisions/{n}/rollback", ID: "rollback", Summary: "Restore the state of a revision, as a new one", Tag: "revisions", Query: []openapi.Parameter{dryRun},
			Gives: provision.Outcome{}, Status: 200, Conditional: true},
			h.rollback),
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
