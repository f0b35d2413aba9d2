package gate

import (
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Remedy says what would have let the caller in, or what an operator can do.
func (ex *Exchange) Remedy() string {
	if ex.Err == nil {
		return ""
	}
	switch ex.Err.Code {
	case model.CredentialMissing:
		return "Send a credential that the route accepts: " + ex.accepted() + "."
	case model.CredentialInvalid:
		return "Check the credential, that its user exists, is active and not expired, and that it is meant for this gateway."
	case model.CredentialExpired:
		return "Renew the credential."
	case model.PermissionDenied:
		return ex.permissionRemedy()
	case model.CSRFFailed:
		return "Send the value of the cookie __Host-sallyport-csrf in the header X-CSRF-Token, or a credential that browsers do not send by themselves."
	case model.OriginRefused:
		return "Call from the gateway's own origin, or add the origin to the route's cors.origins."
	case model.AddressRefused:
		return "Use the credential from one of its addresses, or change them."
	case model.RouteNotFound:
		return "Create a route for this host and path: sallyport route create."
	case model.MethodNotAllowed:
		return "Use one of " + strings.Join(ex.Err.Allow, ", ") + ", or add the method to the route."
	case model.PathAmbiguous:
		return "Send the path without encoded slashes, backslashes or dot segments; a route with path: verbatim accepts encoded slashes."
	case model.AuthenticationDisabled:
		return `Switch authentication on: PUT /v2/config/reverseProxyAuthentication {"enabled": true}.`
	case model.LoopDetected:
		return "Point the service's targets at the backend itself."
	case model.IdentityUnavailable:
		return "See GET /v2/status for the identity provider or store that cannot be reached."
	}
	return ""
}

func (ex *Exchange) accepted() string {
	if ex.Route == nil || ex.Route.requirement == nil {
		return "none"
	}
	names := []string{}
	for i, m := range ex.Plan.methods {
		if ex.Route.requirement.Accepts(i) {
			names = append(names, m.Name())
		}
	}
	return strings.Join(names, ", ")
}

func (ex *Exchange) permissionRemedy() string {
	if ex.Access == nil {
		return ""
	}
	roles := ex.Plan.policy.RolesThatPermit(ex.Route.Index, ex.facts())
	if len(roles) == 0 {
		return "No role permits " + ex.Method + " on route " + ex.Route.Model.Name + "; add a permission to a role."
	}
	return "Give the user one of the roles that permit it: " + strings.Join(roles, ", ") + "."
}
