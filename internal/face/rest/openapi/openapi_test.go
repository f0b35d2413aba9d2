package openapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

type thing struct {
	Name   string             `json:"name"`
	Wait   model.Duration     `json:"wait"`
	On     bool               `json:"on"`
	Maybe  *string            `json:"maybe"`
	Deep   *thing             `json:"deep,omitempty"`
	Any    any                `json:"any"`
	Needs  *model.Requirement `json:"needs"`
	Labels map[string]int     `json:"labels"`
	Hidden string             `json:"-"`
}

func (x *thing) Defaults() { x.Wait, x.On = model.Duration(2e9), true }

func TestADocumentDescribesParametersBodiesAndAnswers(t *testing.T) {
	b := Document([]Operation{
		{Method: "PUT", Path: "/v2/things/{name}", ID: "putThing", Summary: "Put", Tag: "things", Query: []Parameter{DryRun}, Takes: thing{}, Gives: thing{}, Status: 200, Also: []int{201}, Conditional: true, Roles: []model.AdminRole{"admin"}},
		{Method: "DELETE", Path: "/v2/things/{name}", ID: "deleteThing", Status: 204},
		{Method: "GET", Path: "/healthz", ID: "healthz", Status: 200, Open: true, Gives: map[string]any{}},
	}, "")
	var doc struct {
		Paths      map[string]map[string]any
		Components struct {
			Schemas map[string]struct {
				Properties           map[string]map[string]any
				AdditionalProperties *bool
			}
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Paths) != 2 || len(doc.Paths["/v2/things/{name}"]) != 3 || doc.Paths["/healthz"]["get"].(map[string]any)["security"] == nil {
		t.Errorf("%v", doc.Paths)
	}
	p := doc.Components.Schemas["Thing"].Properties
	if p["Hidden"] != nil || p["wait"]["default"] != "2s" || p["on"]["default"] != true || p["name"]["type"] != "string" || p["needs"]["oneOf"] == nil ||
		p["deep"]["oneOf"] == nil || len(p["any"]) != 0 || *doc.Components.Schemas["Thing"].AdditionalProperties {
		t.Errorf("%v", p)
	}
	if v, _ := p["maybe"]["type"].([]any); len(v) != 2 || v[1] != "null" {
		t.Errorf("%v", p["maybe"])
	}
	for _, want := range []string{`"If-Match"`, `"X-Reason"`, `"dryRun"`, "Needs one of the roles admin.", `"#/components/schemas/Requirement"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the document lacks %s", want)
		}
	}
	if string(b) != string(Document([]Operation{
		{Method: "PUT", Path: "/v2/things/{name}", ID: "putThing", Summary: "Put", Tag: "things", Query: []Parameter{DryRun}, Takes: thing{}, Gives: thing{}, Status: 200, Also: []int{201}, Conditional: true, Roles: []model.AdminRole{"admin"}},
		{Method: "DELETE", Path: "/v2/things/{name}", ID: "deleteThing", Status: 204},
		{Method: "GET", Path: "/healthz", ID: "healthz", Status: 200, Open: true, Gives: map[string]any{}},
	}, "")) {
		t.Error("the same table gives other bytes")
	}
}
