package rest

import (
	"encoding/json"
	"net/http"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/store"
)

// The names of the settings' parts.
const (
	reverseProxyAuthentication = "reverseProxyAuthentication"
	identityHeaders            = "identityHeaders"
	sessionSettings            = "sessions"
	pageSettings               = "pages"
)

// configuration is the operations on the parts of the settings.
func (h *Handler) configuration() []operation {
	var ops []operation
	for _, at := range []struct{ prefix, suffix string }{{"/v2", ""}, {"/api/v2", "Alias"}} {
		ops = append(ops, h.setting(at.prefix, at.suffix, reverseProxyAuthentication, model.ReverseProxyAuthentication{}, true)...)
	}
	ops = append(ops, h.setting("/v2", "", identityHeaders, model.IdentityHeaders{}, false)...)
	ops = append(ops, h.setting("/v2", "Setting", sessionSettings, model.Sessions{}, false)...)
	return append(ops, h.setting("/v2", "Setting", pageSettings, model.Pages{}, false)...)
}

func (h *Handler) setting(prefix, suffix, name string, value any, resets bool) []operation {
	path, id := prefix+"/config/"+name, title(name)+suffix
	ops := []operation{
		at(openapi.Operation{Method: "GET", Path: path, ID: "get" + id, Summary: "Read " + name + ", defaults included", Tag: "config", Gives: value,
			Status: 200, Also: []int{304}},
			func(c *call) error { return h.get(c, store.KindSettings, name) }),
		at(openapi.Operation{Method: "PUT", Path: path, ID: "put" + id, Summary: "Replace " + name + "; missing fields take their default", Tag: "config", Query: []openapi.Parameter{dryRun}, Takes: value, Gives: value,
			Status: 200, Conditional: true},
			func(c *call) error { return h.putSetting(c, name) }),
	}
	if resets {
		ops = append(ops, at(openapi.Operation{Method: "DELETE", Path: path, ID: "delete" + id, Summary: "Reset " + name + " to its defaults", Tag: "config", Query: []openapi.Parameter{dryRun},
			Status: 204, Also: []int{200}, Conditional: true},
			func(c *call) error { return h.remove(c, store.KindSettings, name) }))
	}
	return ops
}

func (h *Handler) putSetting(c *call, name string) error {
	cond, err := c.condition()
	if err != nil {
		return err
	}
	v, err := h.Provision.Decode(store.KindSettings+"/"+name, c.body)
	if err != nil {
		return err
	}
	out, err := h.Provision.Put(c.r.Context(), c.actor(), store.KindSettings, name, v, cond)
	switch {
	case err != nil:
		return conditional(cond, err)
	case cond.DryRun:
		return c.sendOutcome(out)
	}
	body, err := withWarnings(out)
	if err != nil {
		return err
	}
	return c.sendObject(http.StatusOK, out.Object.ETag, body)
}

// withWarnings is the object as GET shows it, with the warnings beside its fields
// where there are any.
func withWarnings(out *provision.Outcome) (any, error) {
	if len(out.Warnings) == 0 {
		return out.Object.Value, nil
	}
	object, err := json.Marshal(out.Object.Value)
	if err != nil {
		return nil, err
	}
	warnings, err := json.Marshal(out.Warnings)
	if err != nil {
		return nil, err
	}
	body := append(object[:len(object)-1:len(object)-1], `,"warnings":`...)
	return json.RawMessage(append(append(body, warnings...), '}')), nil
}
