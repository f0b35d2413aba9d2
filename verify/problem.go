package verify

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// Error is why a request is refused. Detail may be published; Err is the cause,
// for logs alone.
type Error struct {
	Status int    // 400, 401, 403 or 503
	Code   string // credential_missing, credential_invalid, credential_expired, permission_denied, path_ambiguous, identity_unavailable
	Detail string
	Err    error

	bearer bool // a bearer token would be accepted
}

func (e *Error) Error() string {
	if e.Err != nil {
		return "verify: " + e.Code + ": " + e.Detail + ": " + e.Err.Error()
	}
	return "verify: " + e.Code + ": " + e.Detail
}

func (e *Error) Unwrap() error { return e.Err }

func missing() *Error {
	return &Error{Status: 401, Code: "credential_missing", Detail: "The request does not come with a proof of who is calling."}
}

func invalid(cause error) *Error {
	return &Error{Status: 401, Code: "credential_invalid", Detail: "The proof of who is calling was not accepted.", Err: cause}
}

func expired(cause error) *Error {
	return &Error{Status: 401, Code: "credential_expired", Detail: "The proof of who is calling has expired.", Err: cause}
}

func unavailable(cause error) *Error {
	return &Error{Status: 503, Code: "identity_unavailable", Detail: "The caller's identity cannot be checked at the moment.", Err: cause}
}

func denied() *Error {
	return &Error{Status: 403, Code: "permission_denied", Detail: "You may not do this here."}
}

func ambiguous() *Error {
	return &Error{Status: 400, Code: "path_ambiguous", Detail: "The path can be read in more than one way."}
}

// WriteError answers with the problem document of an error from Verify; any
// other error is 503, for what cannot be checked is not let through.
func WriteError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = unavailable(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch e.Status {
	case http.StatusUnauthorized: // which needs a challenge (RFC 9110, 15.5.2)
		challenge := "Sallyport"
		if e.bearer {
			challenge = "Bearer"
			if e.Code != "credential_missing" {
				challenge += ` error="invalid_token"`
			}
		}
		h.Set("WWW-Authenticate", challenge)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(int(fetchEvery.Seconds())))
	}
	body, _ := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
	}{"about:blank", http.StatusText(e.Status), e.Status, e.Detail, e.Code})
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}
