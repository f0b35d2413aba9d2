package rest

import (
	"context"
	"net/http"
	"strconv"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
)

// Sessions are the logins by browsers.
type Sessions interface {
	// List answers a page of those that run, by id behind after; user and provider
	// are names, "" = any.
	List(ctx context.Context, user, provider, after string, limit int) ([]model.Session, error)
	// Get answers nil where there is none.
	Get(ctx context.Context, id string) (*model.Session, error)
	// End ends one at once, recorded.
	End(ctx context.Context, a provision.Actor, s *model.Session) error
}

// sessionKeepers may end other people's sessions.
var sessionKeepers = []model.AdminRole{model.AdminAll, model.AdminProvisioner}

func (h *Handler) sessions() []operation {
	return []operation{
		at(openapi.Operation{Method: "GET", Path: "/v2/sessions", ID: "listSessions", Summary: "List the logins by browsers that run", Tag: "sessions",
			Query: []openapi.Parameter{limited, cursor, filter, sorted}, Gives: page[model.Session]{}, Status: 200}, h.listSessions),
		at(openapi.Operation{Method: "GET", Path: "/v2/sessions/{id}", ID: "getSession", Summary: "Read one session", Tag: "sessions",
			Gives: model.Session{}, Status: 200, Also: []int{304}}, h.getSession),
		at(openapi.Operation{Method: "DELETE", Path: "/v2/sessions/{id}", ID: "deleteSession", Summary: "End a session, and what it has open, at once", Tag: "sessions",
			Roles: sessionKeepers, Status: 204}, h.endSession),
	}
}

func (h *Handler) listSessions(c *call) error {
	if h.Sessions == nil {
		return notBuilt()
	}
	if by := c.query["sort"]; by != "" && by != "id" {
		return invalid("sort", "is id: sessions are read in no other order")
	}
	q, err := provision.Texts(c.query["filter"], "user", "provider")
	if err != nil {
		return err
	}
	limit := c.count("limit")
	if limit == 0 {
		limit = 100
	}
	list, err := h.Sessions.List(c.r.Context(), q["user"], q["provider"], c.query["cursor"], limit+1)
	if err != nil {
		return err
	}
	out := page[model.Session]{Items: []model.Session{}}
	if len(list) > limit {
		list, out.NextCursor = list[:limit], list[limit-1].ID
	}
	out.Items = append(out.Items, list...)
	return c.send(http.StatusOK, out)
}

func (h *Handler) session(c *call) (*model.Session, error) {
	if h.Sessions == nil {
		return nil, notBuilt()
	}
	s, err := h.Sessions.Get(c.r.Context(), c.params["id"])
	if err == nil && s == nil {
		err = model.NewError(model.NotFound, "There is no session "+strconv.Quote(c.params["id"])+" that runs.")
	}
	return s, err
}

func (h *Handler) getSession(c *call) error {
	s, err := h.session(c)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, s)
}

func (h *Handler) endSession(c *call) error {
	s, err := h.session(c)
	if err != nil {
		return err
	}
	if err := h.Sessions.End(c.r.Context(), c.actor(), s); err != nil {
		return err
	}
	return c.noContent()
}
