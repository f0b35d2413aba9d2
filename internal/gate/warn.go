package gate

import (
	"fmt"

	"github.com/sallyport/sallyport/internal/model"
)

// Warnings are what holds together and yet may not be meant: an open route that
// forwards paths as they come, beside a closed one. "/admin%2Fx" is not under
// "/admin", so the open route takes it; a backend that decodes it first sees
// "/admin/x", and nobody has asked who calls.
func (p *Plan) Warnings() (f model.Faults) {
	open := func(r *model.Route) bool { return r.Access == model.AccessPublic || r.Access == model.AccessOptional }
	more := map[int]int{}
	at := map[int]int{} // of a route's warning in f
	for _, d := range p.table.Disguises(p.Set.Routes, open) {
		taker, taken := p.Routes[d.Taker].Model, p.Routes[d.Taken].Model
		if _, ok := at[d.Taker]; ok {
			more[d.Taker]++
			continue
		}
		at[d.Taker] = len(f)
		f.Add(fmt.Sprintf("routes[%d].path", d.Taker), fmt.Sprintf("is verbatim on the %s route %q, which takes %s %s past %q (%s): if the service %q reads that as %s, "+
			"nobody has asked who calls; narrow its paths, close it, or see that the service does not decode", taker.Access, taker.Name, d.Method, d.Path, taken.Name, taken.Access, taker.Service, d.Plain))
	}
	for route, n := range more {
		f[at[route]].Message += fmt.Sprintf(" (likewise past %d more)", n)
	}
	return f
}
