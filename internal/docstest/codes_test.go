package docstest

import "github.com/sallyport/sallyport/internal/model"

const codesHead = `Every answer that the gateway itself makes has one of these codes: in its problem document, in ` + "`Proxy-Status`" + `, in the
audit, in the metrics, and in policy tests. The set is closed. An answer without ` + "`Proxy-Status: sallyport`" + ` is the backend's
own.

` + "```json" + `
{"type":"urn:sallyport:problem:permission_denied","title":"Not permitted","status":403,
 "detail":"You may not do this here.","code":"permission_denied","requestId":"0e1b9765efa650747949f9afb1c4245e"}
` + "```" + `

The answer tells a caller little on purpose. ` + "`sallyport audit list --request ID`" + ` tells an operator what was found, and
` + "`sallyport explain`" + ` what would have to change: see [diagnose refusals](../how-to/diagnose-refusals.md).

`

const cliHead = `Exit codes: 0 done, 1 refused or failed, 2 the command line itself is wrong. Tables are for people, ` + "`--output json`" + ` and
` + "`yaml`" + ` for programs; both are on standard output, and what went wrong, with its remedy, on standard error. Secrets are shown
once, when they are made, alone on standard output.

Client commands speak to an admin listener. They log in by ` + "`SALLYPORT_TOKEN`" + `, or as ` + "`--user`" + ` with ` + "`SALLYPORT_PASSWORD`" + ` or
a question on the terminal; with ` + "`SALLYPORT_ADMIN_PASSWORD`" + ` alone they log in as admin.

`

const metricsHead = `In Prometheus form, at ` + "`/metrics`" + ` of a listener that serves ` + "`metrics`" + `. There is no login: give it a listener that only
those may reach who may see it. Users, paths and addresses are never labels, so that no caller can make series without end.

`

const metricsFoot = `
Beside these there are a few of the process and of Go's runtime (` + "`process_*`" + `, ` + "`go_*`" + `).

* ` + "`route`" + ` is empty where none was matched. ` + "`step`" + ` is the [step](../request.md) that ended the request: ` + "`complete`" + ` where nothing
  refused, ` + "`forward`" + ` where the way to the backend failed. ` + "`code`" + ` is a [code](codes.md), or ` + "`allowed`" + `.
* ` + "`kind`" + ` of a security event is ` + "`identity_header_forged`" + `, ` + "`report_would_refuse`" + ` or ` + "`panic`" + `.
* Metrics that have nothing to tell yet are absent.

Worth an alarm: ` + "`sallyport_audit_up == 0`" + ` (everything is refused), ` + "`sallyport_identity_provider_up == 0`" + `, a rise of
` + "`sallyport_requests_total{code=~\"credential_invalid|permission_denied\"}`" + ` or of ` + "`sallyport_security_events_total`" + `, and any
` + "`code=\"internal_error\"`" + `.
`

// meaning is what a person should know of a code.
type meaning struct{ by, cause, remedy string }

const adminOnly = "Admin API only"

var meanings = map[model.Code]meaning{
	model.RequestMalformed: {"", "The request is not well-formed HTTP, its target holds what no target may hold, or its body broke off or is malformed. In the admin API: the body is no JSON.",
		"Mend the client. The audit's `reason` says what was found."},
	model.PathAmbiguous: {"", "Two readers of this path may take it for two: an encoded slash, a backslash, a hidden dot segment, a double or overlong encoding.",
		"Send the path as it is meant. A route with `path: verbatim` accepts encoded slashes and `;`, and nothing that hides a dot segment."},
	model.CredentialMissing: {"", "The request has no credential that the route accepts, or not all of those that it asks for together.",
		"Send one; `WWW-Authenticate` names the ways. Behind a front end: check that it passes `Authorization` on."},
	model.CredentialInvalid: {"", "A credential is wrong or malformed, or its user does not exist, is inactive or has expired; or two different credentials of one kind were sent.",
		"The audit's `reason` says which. Renew the credential, or activate the user."},
	model.CredentialExpired: {"", "The credential was proven, and is over.", "Renew it: a new token, a new key."},
	model.PermissionDenied: {"", "No role of the user permits it, the credential's scopes do not cover it, or a rule of the route refuses. In the admin API: the administrator's roles do not reach so far.",
		"`sallyport explain` names the roles that would permit it, or the rule that refused."},
	model.CSRFFailed: {"", "A browser sent an unsafe request with a credential that it sends unasked, and without the token.",
		"Send the value of the cookie `__Host-sallyport-csrf` in the header `X-CSRF-Token`, or use a bearer token or key."},
	model.OriginRefused: {"", "A page of another origin sent the request, or asked in a preflight whether it may.",
		"Call from the gateway's own origin, or add the page's to `cors.origins` of the route."},
	model.AddressRefused: {"", "The credential is limited to other addresses than the client's.",
		"Use it from there, or make one with other `addresses`. Behind a front end: add it to `trustedProxies`, so that the client's address is known."},
	model.RouteNotFound: {"", "No route has this host and path.", "Compare with `sallyport route list`. A route for another host does not count."},
	model.NotFound:      {adminOnly, "There is no such object or path.", "Compare with the collection, or with [the API](openapi.json)."},
	model.MethodNotAllowed: {"", "The path is served, and the method is not; `Allow` lists those that are. A less specific route that has the method does not count.",
		"Add the method to the route, or use another."},
	model.Conflict: {adminOnly, "The name is taken, the object is still referred to, or the last active administrator with the role `admin` would go.",
		"The `detail` says which. Take the references away first."},
	model.PreconditionFailed: {adminOnly, "`If-Match` names another version than the stored one: somebody changed the object since it was read.",
		"Read it again, and make the change on what it is now."},
	model.BodyTooLarge: {"", "The body is larger than the route's `bodyBytes`, or else `limits.bodyBytes`. In the admin API: 10 MiB, and 256 MiB for apply.",
		"Send less, or raise the route's `bodyBytes`."},
	model.URITooLong:           {"", "The request line alone is larger than `limits.headerBytes`.", "Send less in the URL."},
	model.UnsupportedMediaType: {adminOnly, "The body's type is not `application/json` (for PATCH also `application/merge-patch+json`), or it is compressed.", "Send `Content-Type: application/json`."},
	model.Misdirected: {"", "The connection was opened for one server name, and `Host` belongs to another certificate.",
		"A client that reuses connections opens a new one. A front end must send the server name that fits `Host`."},
	model.Invalid:     {adminOnly, "The content does not hold together; `errors` has one entry for each fault, with its path. Nothing was changed.", "Mend each of them."},
	model.RateLimited: {"", "Not built yet: no route has limits.", "None is needed."},
	model.LoginThrottled: {adminOnly, "Too many logins have failed from this address, or for this administrator from it.",
		"Wait as long as `Retry-After` says. A right token is never made to wait."},
	model.HeadersTooLarge: {"", "The request's head is larger than `limits.headerBytes`.", "Send less, most often in cookies, or raise the limit."},
	model.Internal:        {"", "A fault of the gateway's own. It is never the answer to bad input, and never lets anything pass.", "Report it, with the log's lines of the request id."},
	model.UpstreamUnreachable: {"", "No target of the service can be connected to: refused, no such name, TLS that does not verify.",
		"`GET /v2/status` shows each target and its cause. Start the backend, or mend `targets` or `tls`."},
	model.UpstreamInvalid: {"", "The target's answer is not HTTP, was cut short, or never came.", "See the completion's `reason` in the audit, and the backend's log."},
	model.UpstreamTimeout: {"", "The target did not answer within `timeouts.response`, or could not be connected to within `timeouts.connect`.", "Mend the backend, or raise the limit."},
	model.AuthenticationDisabled: {"", "`settings.reverseProxyAuthentication.enabled` is false, and the route is not public. Switching authentication off closes doors.",
		"`PUT /v2/config/reverseProxyAuthentication` with `{\"enabled\": true}`. A `PUT` that leaves `enabled` out switches it off."},
	model.IdentityUnavailable: {"", "It cannot be told who is calling: the store cannot be read, an issuer's keys cannot be had, or the assertion cannot be signed. It does not say that the credential is wrong.",
		"`GET /v2/status` shows what is down. Known users with known credentials go on being served."},
	model.ConfigurationUnavailable: {"", "There is no configuration in force: the store has been away for longer than `maxStale`, or has never been read. In the admin API: the store cannot be used, and nothing was changed.",
		"See the log, and bring the store back; it is tried every second."},
	model.AuditUnavailable: {"", "The audit cannot be written, most often because the disk is full. Nothing passes unrecorded.", "Make room in `dataDir`. It is tried again ten times a second."},
	model.Overloaded:       {"", "Too many passwords are waiting to be checked.", "Try again after `Retry-After`. Let machines use API keys or tokens, which cost no hash."},
	model.LoopDetected:     {"", "The request has passed this gateway before: a service leads back to it, through another proxy.", "Point the service's `targets` at the backend itself."},
}
