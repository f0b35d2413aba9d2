package door

import (
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// Screen refuses what needs no plan to be refused.
func (d *Deps) Screen(ex *gate.Exchange) {
	switch t := ex.TLS; {
	case ex.Method == http.MethodTrace:
		// An answer to TRACE is the request as the backend saw it: the caller would
		// be shown the assertion and the gateway's own credential.
		ex.Err = &model.Error{Code: model.MethodNotAllowed, Message: "TRACE is not served here.",
			Allow: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}}
		ex.Step, ex.Detail = gate.StepParse, "TRACE would show what the gateway adds"
	case Reserved(ex.Request.Target) && d.Local(ex.Host, path(ex.Request.Target)) == nil:
		ex.Err = model.NewError(model.RouteNotFound, "There is nothing here.")
		ex.Step, ex.Detail = gate.StepMatch, "one of the gateway's own paths, and none that there is"
	case t != nil && t.ServerName != "" && d.TLS != nil && d.TLS.Misdirected(t.ServerName, ex.Host):
		ex.Err = model.NewError(model.Misdirected, "This connection was opened for another host name.")
		ex.Step, ex.Detail = gate.StepAccept, "server name "+t.ServerName+", host "+ex.Host
	}
}

// Own is the handler of the gateway's own path that is asked for; nil where it is not
// one, and for a request that is refused already.
func (d *Deps) Own(ex *gate.Exchange) http.Handler {
	p := path(ex.Request.Target)
	if ex.Err != nil || !strings.HasPrefix(p, "/.") {
		return nil
	}
	return d.Local(ex.Host, p)
}

func path(target string) string {
	p, _, _ := strings.Cut(target, "?")
	return p
}
