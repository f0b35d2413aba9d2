package login

import (
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/model"
)

// record writes a login down. Its failure is a refusal: nobody comes in unrecorded.
func (d *Desk) record(v *visit, e *model.Event) error {
	v.describe(e)
	if err := d.Record(*e); err != nil {
		return (&model.Error{Code: model.AuditUnavailable, RetryAfter: 5, Message: "The login cannot be recorded at the moment, and nobody signs in unrecorded."}).WithCause(err)
	}
	return nil
}

// note writes down what did not come to pass, with its cause.
func (d *Desk) note(v *visit, e *model.Event, cause error) {
	v.describe(e)
	known := model.AsError(cause)
	e.Code, e.Reason = known.Code, known.Message
	if known.Err != nil {
		e.Reason = known.Err.Error()
	}
	if known.Code.Status() >= 500 {
		e.Outcome = "error"
	}
	if err := d.Record(*e); err != nil {
		d.Log.Error("a refused login could not be recorded", "cause", err)
	}
}

func (v *visit) describe(e *model.Event) {
	e.Type, e.Time = model.EventLogin, v.now
	if e.Step == "" {
		e.Step = "authenticate"
	}
	e.Method, e.Host, e.Path = v.r.Method, v.host, v.r.URL.Path
	e.ClientIP, e.UserAgent, e.RequestID = v.clientIP(), v.r.UserAgent(), v.w.Header().Get("X-Request-Id")
	e.Revision = v.plan.Revision
}

// csrfCookie is script-readable, for pages that send its value in a header.
func csrfCookie(token string) string {
	return csrf.Cookie + "=" + token + "; Path=/; Secure; SameSite=Lax"
}
