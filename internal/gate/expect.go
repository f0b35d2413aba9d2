package gate

import (
	"context"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

// CheckExpectations runs the set's policy tests under its plan; users finds users
// as they will be once the plan is in force. Each test that fails is a fault.
//
// They say who may do what, so they are asked as if authentication were switched
// on: else nobody could switch it off, which closes every door and opens none. A
// test that expects authentication_disabled is asked as things are.
func (g *Gate) CheckExpectations(ctx context.Context, plan *Plan, users func(username string) *model.User) (faults model.Faults) {
	for i, e := range plan.Set.Expect {
		at := fmt.Sprintf("expect[%d]", i)
		method, target, ok := strings.Cut(strings.TrimSpace(e.Request), " ")
		if !ok {
			faults.Add(at+".request", `is a method and a path or URL, such as "POST /1.0/orders"`)
			continue
		}
		under := plan
		if e.Then != model.AuthenticationDisabled && !plan.enabled {
			on := *plan
			on.enabled = true
			under = &on
		}
		ex := &Exchange{Plan: under, Explain: true, ID: "expect"}
		if err := ex.ask(Question{Method: method, URL: strings.TrimSpace(target)}, g.deps.Now); err != nil {
			faults.Add(at+".request", model.AsError(err).Faults.Error())
			continue
		}
		if e.As != "" {
			u := users(e.As)
			if u == nil {
				faults.Add(at+".as", "there is no user "+e.As)
				continue
			}
			ex.Assume = assume(directory.NewPrincipal(*u))
		}
		g.Walk(ctx, ex)
		if got := ex.Code(); got != e.Then {
			who := e.As
			if who == "" {
				who = "nobody"
			}
			faults.Add(at, fmt.Sprintf("%s as %s gives %s, not %s (step %s: %s)", e.Request, who, got, e.Then, ex.Step, ex.lastDetail()))
		}
	}
	return faults
}

func (ex *Exchange) lastDetail() string {
	if len(ex.Trace) == 0 {
		return ""
	}
	return ex.Trace[len(ex.Trace)-1].Detail
}
