package app

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

// overHTTP2 makes the client of a running gateway speak HTTP/2 and nothing else.
func (r *running) overHTTP2() {
	r.client.CloseIdleConnections()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	r.client.Transport = tr
	r.t.Cleanup(tr.CloseIdleConnections)
}

func TestTheMainJobOverHTTP2(t *testing.T) {
	for _, engine := range []string{"own", "standard"} {
		t.Run(engine, func(t *testing.T) {
			b := backend(t)
			r := start(t, engine, strings.ReplaceAll(basics, "BACKEND", b.URL))
			r.overHTTP2()
			theMainJob(t, r)
		})
	}
}
