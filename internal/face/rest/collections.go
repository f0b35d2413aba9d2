package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/strict"
)

// page is one page of a collection.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"` // "" = there is no more
}

// collection is the operations on one kind of named object.
func (h *Handler) collection(r resource) []operation {
	all := "/v2/" + r.kind
	one := all + "/{" + r.key + "}"
	write := []openapi.Parameter{dryRun}
	return []operation{
		at(openapi.Operation{Method: "GET", Path: all, ID: "list" + title(r.kind), Summary: "List " + r.kind, Tag: r.kind, Roles: r.readers, Gives: r.page,
			Query: []openapi.Parameter{limited, cursor, filter, sorted}, Status: 200},
			func(c *call) error { return h.list(c, r) }),
		at(openapi.Operation{Method: "POST", Path: all, ID: "create" + r.one, Summary: "Create one of " + r.kind, Tag: r.kind, Query: write, Takes: r.value, Gives: r.value,
			Status: 201, Also: []int{200}},
			func(c *call) error { return h.create(c, r) }),
		at(openapi.Operation{Method: "GET", Path: one, ID: "get" + r.one, Summary: "Read one of " + r.kind, Tag: r.kind, Roles: r.readers, Gives: r.value,
			Status: 200, Also: []int{304}},
			func(c *call) error { return h.get(c, r.kind, c.params[r.key]) }),
		at(openapi.Operation{Method: "PUT", Path: one, ID: "put" + r.one, Summary: "Replace or create one of " + r.kind, Tag: r.kind, Query: write, Takes: r.value, Gives: r.value,
			Status: 200, Also: []int{201}, Conditional: true},
			func(c *call) error { return h.put(c, r) }),
		at(openapi.Operation{Method: "PATCH", Path: one, ID: "patch" + r.one, Summary: "Change fields of one of " + r.kind + " (RFC 7396)", Tag: r.kind, Query: write, Takes: r.value, Gives: r.value,
			Status: 200, Conditional: true},
			func(c *call) error { return h.patch(c, r) }),
		at(openapi.Operation{Method: "DELETE", Path: one, ID: "delete" + r.one, Summary: "Delete one of " + r.kind, Tag: r.kind, Query: write,
			Status: 204, Also: []int{200}, Conditional: true},
			func(c *call) error { return h.remove(c, r.kind, c.params[r.key]) }),
	}
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (h *Handler) list(c *call, r resource) error {
	p, err := h.Provision.List(c.r.Context(), r.kind, provision.Query{Limit: c.count("limit"), Cursor: c.query["cursor"],
		Filter: c.query["filter"], Sort: c.query["sort"]})
	if err != nil {
		return err
	}
	out := page[any]{Items: make([]any, len(p.Items)), NextCursor: p.NextCursor}
	for i := range p.Items {
		out.Items[i] = p.Items[i].Value
	}
	return c.send(http.StatusOK, out)
}

func (h *Handler) get(c *call, kind, name string) error {
	o, err := h.Provision.Get(c.r.Context(), kind, name)
	if err != nil {
		return err
	}
	return c.sendObject(http.StatusOK, o.ETag, o.Value)
}

// sendObject answers with an object and its ETag, or 304 where a read asked for
// another than it has (RFC 9110, 13.1.2).
func (c *call) sendObject(status int, etag string, v any) error {
	c.w.Header().Set("ETag", etag)
	read := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
	if read && matches(c.r.Header.Values("If-None-Match"), etag) {
		c.sent = true
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.send(status, v)
}

// matches compares weakly, as If-None-Match asks.
func matches(values []string, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(values, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || tag != "" && strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// condition is what a write asks to hold.
func (c *call) condition() (provision.Condition, error) {
	cond := provision.Condition{IfMatch: strings.Join(c.r.Header.Values("If-Match"), ","), DryRun: c.flag("dryRun")}
	switch none := c.r.Header.Values("If-None-Match"); {
	case len(none) == 0:
	case len(none) == 1 && strings.TrimSpace(none[0]) == "*":
		cond.IfNoneMatch = true
	default:
		return cond, model.NewError(model.PreconditionFailed, "A write knows If-None-Match: * alone, which asks that there be no such object yet.")
	}
	return cond, nil
}

func (h *Handler) create(c *call, r resource) error {
	cond, err := c.condition()
	if err != nil {
		return err
	}
	cond.IfNoneMatch = true
	name := c.node.Field(r.key)
	if name == nil || name.Kind() != strict.String {
		return invalid(r.key, "is missing; it names the new object")
	}
	v, err := h.Provision.Decode(r.kind, c.body)
	if err != nil {
		return err
	}
	out, err := h.Provision.Put(c.r.Context(), c.actor(), r.kind, name.Text(), v, cond)
	if err != nil {
		return err
	}
	return c.written(out, r)
}

func (h *Handler) put(c *call, r resource) error {
	cond, err := c.condition()
	if err != nil {
		return err
	}
	if err := c.nameIs(r, c.params[r.key]); err != nil {
		return err
	}
	v, err := h.Provision.Decode(r.kind, c.body)
	if err != nil {
		return err
	}
	out, err := h.Provision.Put(c.r.Context(), c.actor(), r.kind, c.params[r.key], v, cond)
	if err != nil {
		return conditional(cond, err)
	}
	return c.written(out, r)
}

// conditional gives If-None-Match its own status (RFC 9110, 13.1.2); a POST of
// a name that is taken stays a conflict.
func conditional(cond provision.Condition, err error) error {
	var e *model.Error
	if cond.IfNoneMatch && errors.As(err, &e) && e.Code == model.Conflict {
		return model.NewError(model.PreconditionFailed, e.Message)
	}
	return err
}

// nameIs takes the name from the path where the body has none, and refuses
// another one: a rename must not be read into a slip.
func (c *call) nameIs(r resource, name string) error {
	switch f := c.node.Field(r.key); {
	case c.node.Kind() != strict.Map: // Decode says what is wrong
		return nil
	case f == nil:
		c.node.SetText(r.key, name)
		c.body, _ = c.node.MarshalJSON()
	case f.Kind() != strict.String: // likewise
	case f.Text() != name && !(r.key == "username" && model.FoldUsername(f.Text()) == model.FoldUsername(name)):
		return invalid(r.key, "is not the name in the path; to rename, create the new object and delete the old one")
	}
	return nil
}

// maxPatchTries bounds how often a PATCH is made again on what others have
// changed in between.
const maxPatchTries = 5

func (h *Handler) patch(c *call, r resource) error {
	cond, err := c.condition()
	if err != nil {
		return err
	}
	name, patch := c.params[r.key], c.node
	if patch.Kind() != strict.Map {
		return invalid("", "a merge patch is an object with the fields to change")
	}
	guarded := cond.IfMatch != ""
	for try := 1; ; try++ {
		o, err := h.Provision.Get(c.r.Context(), r.kind, name)
		if err != nil {
			return err
		}
		if !guarded {
			cond.IfMatch = o.ETag // what was read must still be there when it is written
		}
		v, err := h.merge(c, r, o, patch)
		if err != nil {
			return err
		}
		out, err := h.Provision.Put(c.r.Context(), c.actor(), r.kind, o.Name, v, cond)
		var e *model.Error
		if !guarded && try < maxPatchTries && errors.As(err, &e) && e.Code == model.PreconditionFailed {
			continue
		}
		if err != nil {
			return err
		}
		return c.written(out, r)
	}
}

// merge is the object as GET shows it with the patch laid over it, masks and all.
func (h *Handler) merge(c *call, r resource, o *provision.Object, patch *strict.Node) (any, error) {
	shown, err := json.Marshal(o.Value)
	if err != nil {
		return nil, err
	}
	node, f := strict.JSON(shown)
	if len(f) > 0 {
		return nil, f
	}
	owner := r.kind == provision.KindUsers || r.kind == store.KindAdministrators
	if owner && patch.Field("credentials") == nil {
		node.Drop("credentials") // not spoken of = left alone
	}
	c.node = node.MergePatch(patch)
	if err := c.nameIs(r, o.Name); err != nil {
		return nil, err
	}
	c.body, _ = c.node.MarshalJSON()
	return h.Provision.Decode(r.kind, c.body)
}

func (h *Handler) remove(c *call, kind, name string) error {
	cond, err := c.condition()
	if err != nil {
		return err
	}
	out, err := h.Provision.Delete(c.r.Context(), c.actor(), kind, name, cond)
	switch {
	case err != nil:
		return err
	case cond.DryRun:
		return c.sendOutcome(out)
	}
	return c.noContent()
}

// written answers a write: with the object, or under dryRun with the difference.
func (c *call) written(out *provision.Outcome, r resource) error {
	if c.flag("dryRun") {
		return c.sendOutcome(out)
	}
	status := http.StatusOK
	if out.Created {
		status = http.StatusCreated
		c.w.Header().Set("Location", "/v2/"+r.kind+"/"+url.PathEscape(out.Object.Name))
	}
	return c.sendObject(status, out.Object.ETag, out.Object.Value)
}

func (c *call) sendOutcome(out *provision.Outcome) error {
	o := *out
	if o.Changes == nil {
		o.Changes = []model.Change{}
	}
	return c.send(http.StatusOK, o)
}
