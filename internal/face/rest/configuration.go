package rest

import (
	"encoding/json"
	"net/http"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/store"
)

// The names of the settings' parts.
const (
	reverseProxyAuthentication = "reverseProxyAuthentication"
	identityHeaders            = "identityHeaders"
)

// configuration is the operations on the parts of the settings.
func (h *Handler) configuration() []operation {
	var ops []operation
	for _, at := range []struct{ prefix, suffix string }{{"/v2", ""}, {"/api/v2", "Alias"}} {
		ops = append(ops, h.setting(at.prefix, at.suffix, reverseProxyAuthentication, model.ReverseProxyAuthentication{}, true)...)
	}
	return append(ops, h.setting("/v2", "", identityHeaders, model.IdentityHeaders{}, false)...)
}

func (h *Handler) setting(prefix, suffix, name string, value any, resets bool) []operation {
	path, id := prefix+"/config/"+name, title(name)+suffix
	ops := []operation{
		{method: "GET", path: path, id: "get" + id, summary: "Read " + name + ", defaults included", tag: "config", gives: value,
			status: 200, also: []int{304}, serve: func(c *call) error { return h.get(c, store.KindSettings, name) }},
		{method: "PUT", path: path, id: "put" + id, summary: "Replace " + name + "; missing fields take their default", tag: "config", query: []parameter{dryRun}, takes: value, gives: value,
			status: 200, conditional: true, serve: func(c *call) error { return h.putSetting(c, name) }},
	}
	if resets {
		ops = append(ops, operation{method: "DELETE", path: path, id: "delete" + id, summary: "Reset " + name + " to its defaults", tag: "config", query: []parameter{dryRun},
			status: 204, also: []int{200}, conditional: true, serve: func(c *call) error { return h.remove(c, store.KindSettings, name) }})
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
