package cors

import (
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

func fields(list []model.Field) map[string]string {
	m := map[string]string{}
	for _, f := range list {
		m[f.Name] = f.Value
	}
	return m
}

func TestAnswers(t *testing.T) {
	named := Compile(&model.CORS{Origins: []string{"https://app.example.com"}, Credentials: true}, []string{"GET"})
	anyone := Compile(&model.CORS{Origins: []string{"*"}}, nil)
	for _, c := range []struct {
		name, origin string
		p            *Policy
		want         string
	}{
		{"a named origin", "https://app.example.com", named, "https://app.example.com"},
		{"its default port spelled out", "https://APP.example.com:443", named, "https://APP.example.com:443"},
		{"another scheme", "http://app.example.com", named, ""},
		{"a neighbour", "https://evilapp.example.com", named, ""},
		{"null", "null", named, ""},
		{"anyone", "https://x.example", anyone, "*"},
	} {
		f := fields(c.p.Answer(nil, c.origin))
		if f["Access-Control-Allow-Origin"] != c.want || f["Vary"] != "Origin" {
			t.Errorf("%s: %v", c.name, f)
		}
		if cred := f["Access-Control-Allow-Credentials"]; (cred == "true") != (c.p == named && c.want != "") {
			t.Errorf("%s: credentials %q", c.name, cred)
		}
	}
	if Compile(nil, nil) != nil {
		t.Error("no setting is a policy")
	}
}

func TestPreflights(t *testing.T) {
	p := Compile(&model.CORS{Origins: []string{"*"}, Headers: []string{"*"}, MaxAge: model.Duration(600e9)}, nil)
	f := fields(p.Preflight(nil, "https://x.example", "PUT", "x-a, x-b"))
	if f["Access-Control-Allow-Methods"] != "PUT" || f["Access-Control-Allow-Headers"] != "x-a, x-b" || f["Access-Control-Max-Age"] != "600" {
		t.Errorf("%v", f)
	}
	p = Compile(&model.CORS{Origins: []string{"https://x.example"}, Headers: []string{"X-A"}}, []string{"GET", "POST"})
	f = fields(p.Preflight(nil, "https://x.example", "PUT", "x-b"))
	if f["Access-Control-Allow-Methods"] != "GET, POST" || f["Access-Control-Allow-Headers"] != "X-A" {
		t.Errorf("%v", f)
	}
}
