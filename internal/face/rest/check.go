package rest

import (
	"context"
	"net/http"

	"github.com/sallyport/sallyport/internal/face/rest/openapi"
	"github.com/sallyport/sallyport/internal/model"
)

// Checker asks identity providers freshly.
type Checker interface {
	Check(ctx context.Context, provider string) (*ProviderReport, error)
}

// ProviderReport says what stands in the way of a provider's users.
type ProviderReport struct {
	Provider string             `json:"provider"`
	Type     model.ProviderType `json:"type"`
	OK       bool               `json:"ok"` // nothing does
	Findings []ProviderFinding  `json:"findings"`
}

// ProviderFinding is one thing that was looked at.
type ProviderFinding struct {
	Level  string `json:"level"` // good, warning, fault
	About  string `json:"about"`
	Says   string `json:"says"`
	Remedy string `json:"remedy,omitempty"`
}

// Add adds a finding.
func (r *ProviderReport) Add(level, about, says, remedy string) {
	r.Findings = append(r.Findings, ProviderFinding{level, about, says, remedy})
	r.OK = r.OK && level != "fault"
}

func (h *Handler) checks() []operation {
	return []operation{
		at(openapi.Operation{Method: "POST", Path: "/v2/identityProviders/{name}/check", ID: "checkIdentityProvider",
			Summary: "Ask a provider freshly, and say what stands in the way of its users", Tag: "identityProviders", Roles: explorers,
			Gives: ProviderReport{}, Status: 200}, h.checkProvider),
	}
}

func (h *Handler) checkProvider(c *call) error {
	if h.Providers == nil {
		return notBuilt()
	}
	r, err := h.Providers.Check(c.r.Context(), c.params["name"])
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, r)
}
