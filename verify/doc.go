// Package verify is the backend's half of Sallyport: middleware that checks, on
// every request, that the gateway (or an identity provider) really vouches for
// the caller, and what a local policy file lets that caller do.
//
// A backend that trusts its network needs none of this: it reads X-User. One
// that does not wraps its handler:
//
//	v, err := verify.New(verify.Config{
//		Issuer:     "https://api.example.com", // the gateway's externalURL
//		Audience:   "orders",                  // the service's name at the gateway
//		PolicyFile: "policy.yaml",             // optional
//	})
//	…
//	http.ListenAndServe(addr, v.Middleware(handler))
//
// and asks verify.FromContext who is calling. Whatever cannot be proven is
// refused: 401 for a missing or wrong proof, 403 for what the policy does not
// list, 400 for a path that can be read in two ways, and 503 while the keys to
// check with cannot be had. The answers are problem documents (RFC 9457).
//
// The package does not authenticate users, knows no passwords or sessions, and
// imports nothing of the gateway: any JWT library can do the same, see
// docs/how-to/verify-in-the-backend.md.
package verify
