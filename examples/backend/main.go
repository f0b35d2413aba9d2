// Command backend is a REST API that does not trust its network: every request
// must carry the gateway's assertion, and a local policy file says who may do
// what. See README.md beside it.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/verify"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "backend:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("backend", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:9000", "`address` to serve on")
	issuer := f.String("issuer", "https://localhost:8443", "the gateway's externalURL")
	audience := f.String("audience", "orders", "this service's name at the gateway")
	jwks := f.String("jwks", "", "`URL` of the gateway's keys (default: ISSUER/.well-known/jwks.json)")
	ca := f.String("ca", "", "PEM `file` of the CA that signed the gateway's certificate")
	policy := f.String("policy", "", "policy `file`; without it every verified caller may do everything")
	tokens := f.String("tokens", "", "also believe forwarded JWTs: `ISSUER,AUDIENCE,JWKS-URL`")
	sidecar := f.Bool("sidecar", false, "answer nginx's auth_request about other requests, instead of serving an API")
	if err := f.Parse(args); err != nil {
		return err
	}
	c := verify.Config{Issuer: *issuer, Audience: *audience, JWKSURL: *jwks, PolicyFile: *policy}
	if *tokens != "" {
		part := strings.Split(*tokens, ",")
		if len(part) != 3 {
			return errors.New("-tokens takes ISSUER,AUDIENCE,JWKS-URL")
		}
		c.Issuers = []verify.Issuer{{Issuer: part[0], Audiences: []string{part[1]}, JWKSURL: part[2]}}
	}
	if *ca != "" {
		client, err := trusting(*ca)
		if err != nil {
			return err
		}
		c.Client = client
	}
	v, err := verify.New(c)
	if err != nil {
		return err
	}
	h := v.Middleware(http.HandlerFunc(answer))
	if *sidecar {
		h = judge(v)
	}
	s := &http.Server{Addr: *listen, Handler: h, ReadHeaderTimeout: 10 * time.Second}
	slog.Info("serving", "address", *listen, "issuer", *issuer, "audience", *audience)
	return s.ListenAndServe()
}

// answer is the API: it says what it was asked, and by whom.
func answer(w http.ResponseWriter, r *http.Request) {
	id, _ := verify.FromContext(r.Context()) // always there behind the middleware
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "path": r.URL.Path,
		"caller": id.Name, "id": id.Subject, "client": id.Client, "groups": id.Groups, "roles": id.Roles,
		"authenticatedBy": id.Methods, "vouchedForBy": id.Issuer, "until": id.Expires,
	})
}

// judge answers nginx's auth_request: 204 and the caller's name, or a refusal of
// the request that X-Original-Method and X-Original-URI describe. nginx knows no
// refusals but 401 and 403, so an ambiguous path becomes 403. It believes these
// two headers: let nobody but nginx reach it.
func judge(v *verify.Verifier) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		about := r.Clone(r.Context())
		target, err := url.ParseRequestURI(r.Header.Get("X-Original-URI"))
		if about.Method = r.Header.Get("X-Original-Method"); about.Method == "" || err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		about.URL = target
		id, err := v.Verify(about)
		if refusal := (*verify.Error)(nil); errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest {
			refusal.Status = http.StatusForbidden
		}
		if err != nil {
			verify.WriteError(w, err)
			return
		}
		w.Header().Set("X-Verified-User", url.PathEscape(id.Name))
		w.WriteHeader(http.StatusNoContent)
	})
}

// trusting is a client that also trusts a private CA, as the demo's is.
func trusting(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
