package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
)

// credentials is the sub-collection of users and administrators. A credential is
// made and taken away; it is never changed.
func (h *Handler) credentials(kind, owner, key string, readers []model.AdminRole) []operation {
	all := "/v2/" + kind + "/{" + key + "}/credentials"
	one := all + "/{id}"
	tag := kind
	return []operation{
		at(openapi.Operation{Method: "GET", Path: all, ID: "list" + owner + "Credentials", Summary: "List credentials, without their secrets", Tag: tag, Roles: readers, Gives: page[model.Credential]{},
			Query: []openapi.Parameter{limited, cursor}, Status: 200},
			func(c *call) error { return h.listCredentials(c, kind, c.params[key]) }),
		at(openapi.Operation{Method: "POST", Path: all, ID: "create" + owner + "Credential", Summary: "Create a credential; a generated secret is in this answer alone", Tag: tag, Takes: model.Credential{}, Gives: model.Credential{},
			Status: 201},
			func(c *call) error { return h.addCredential(c, kind, c.params[key]) }),
		at(openapi.Operation{Method: "GET", Path: one, ID: "get" + owner + "Credential", Summary: "Read a credential, without its secret", Tag: tag, Roles: readers, Gives: model.Credential{},
			Status: 200, Also: []int{304}},
			func(c *call) error { return h.getCredential(c, kind, c.params[key]) }),
		at(openapi.Operation{Method: "DELETE", Path: one, ID: "delete" + owner + "Credential", Summary: "Revoke a credential", Tag: tag,
			Status: 204, Conditional: true},
			func(c *call) error { return h.deleteCredential(c, kind, c.params[key]) }),
	}
}

// shown is a credential without anything that proves it, whatever the write side
// has already masked.
func shown(cred model.Credential) model.Credential {
	cred.Password, cred.Secret = "", ""
	if cred.Hash != "" {
		cred.Hash = model.Mask
	}
	return cred
}

func (h *Handler) listCredentials(c *call, kind, owner string) error {
	list, err := h.Provision.ListCredentials(c.r.Context(), kind, owner)
	if err != nil {
		return err
	}
	out := page[model.Credential]{Items: []model.Credential{}}
	if after := c.query["cursor"]; after != "" {
		at := -1
		for i := range list {
			if list[i].ID == after {
				at = i
			}
		}
		if at < 0 {
			return invalid("cursor", "belongs to a credential that is there no more; start again")
		}
		list = list[at+1:]
	}
	limit := c.count("limit")
	if limit == 0 {
		limit = 100
	}
	if len(list) > limit {
		list = list[:limit]
		out.NextCursor = list[limit-1].ID
	}
	for _, cred := range list {
		out.Items = append(out.Items, shown(cred))
	}
	return c.send(http.StatusOK, out)
}

func (h *Handler) addCredential(c *call, kind, owner string) error {
	var cred model.Credential
	if err := c.into(&cred); err != nil {
		return err
	}
	made, err := h.Provision.AddCredential(c.r.Context(), c.actor(), kind, owner, cred)
	if err != nil {
		return err
	}
	answer := shown(*made)
	answer.Secret, answer.Hash = made.Secret, ""
	c.w.Header().Set("Location", "/v2/"+kind+"/"+url.PathEscape(owner)+"/credentials/"+url.PathEscape(made.ID))
	return c.send(http.StatusCreated, answer)
}

func (h *Handler) credential(ctx context.Context, kind, owner, id string) (*model.Credential, error) {
	list, err := h.Provision.ListCredentials(ctx, kind, owner)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].ID == id {
			cred := shown(list[i])
			return &cred, nil
		}
	}
	return nil, model.NewError(model.NotFound, "There is no such credential.")
}

func (h *Handler) getCredential(c *call, kind, owner string) error {
	cred, err := h.credential(c.r.Context(), kind, owner, c.params["id"])
	if err != nil {
		return err
	}
	return c.sendObject(http.StatusOK, credentialTag(cred), cred)
}

func (h *Handler) deleteCredential(c *call, kind, owner string) error {
	cond, err := c.condition()
	if err != nil {
		return err
	}
	if cond.IfMatch != "" {
		cred, err := h.credential(c.r.Context(), kind, owner, c.params["id"])
		if err != nil {
			return err
		}
		if !matches([]string{cond.IfMatch}, credentialTag(cred)) {
			return model.NewError(model.PreconditionFailed, "The credential is not the one that If-Match names.")
		}
	}
	if err := h.Provision.DeleteCredential(c.r.Context(), c.actor(), kind, owner, c.params["id"]); err != nil {
		return err
	}
	return c.noContent()
}

// credentialTag is made of what identifies a credential, which never changes;
// its last use does, and is left out.
func credentialTag(cred *model.Credential) string {
	still := *cred
	still.LastUsed = nil
	b, _ := json.Marshal(&still) // strings and times
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
