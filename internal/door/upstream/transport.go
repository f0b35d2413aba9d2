package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/door/upstream/lane"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	headBytes = 1 << 20 // of an answer's head, trailers included
	interim   = 100     // interim answers to one request
	// Many servers close a connection that was idle for 5 s. Ours goes first, for
	// a request written to a connection that is being closed is lost, and one that
	// is not idempotent cannot be sent again.
	idle      = 4 * time.Second
	keepAlive = 15 * time.Second
	window    = 512 << 10 // HTTP/2: what a slow reader makes us hold, per stream
)

// transport is the standard library's client as a carrier: no redirects, no
// environment proxies, no decompression, no fields of its own.
type transport struct {
	base     url.URL
	protocol model.Protocol
	h1       *http.Transport
	dial     func(ctx context.Context) (net.Conn, error)
	tls      *tls.Config
	lane     *lane.Lane // plain HTTP/1.1 connections that a door speaks over itself; nil = none
}

// newTransport connects to addr alone; base gives the scheme, the name in TLS and
// the default Host.
func newTransport(base *url.URL, addr netip.AddrPort, s *model.Service, trust *tls.Config) *transport {
	d := &net.Dialer{Timeout: s.Timeouts.Connect.D(), KeepAlive: keepAlive}
	t := &transport{base: url.URL{Scheme: base.Scheme, Host: base.Host}, protocol: s.Protocol, tls: trust}
	t.dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr.String()) }
	if base.Scheme == "http" && s.Protocol != model.HTTP2 {
		t.lane = lane.New(t.dial, 1024, idle)
	}
	var p http.Protocols
	switch {
	case s.Protocol == model.HTTP2:
		p.SetHTTP2(true)
		p.SetUnencryptedHTTP2(true)
	case s.Protocol == model.ProtocolAuto && base.Scheme == "https":
		p.SetHTTP1(true)
		p.SetHTTP2(true)
	default:
		p.SetHTTP1(true)
	}
	t.h1 = &http.Transport{
		Proxy:                  nil,
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return t.dial(ctx) },
		TLSClientConfig:        trust,
		TLSHandshakeTimeout:    s.Timeouts.Connect.D(),
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        idle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headBytes,
		Protocols:              &p,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: window, MaxReceiveBufferPerConnection: 8 * window,
			SendPingTimeout: keepAlive, PingTimeout: keepAlive},
	}
	return t
}

// trust builds the TLS side of a service; nil where nothing is asked for.
func trust(s *model.Service) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.TLS.ServerName, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	if s.TLS.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(s.TLS.CA)) {
			return nil, errors.New("tls.ca holds no PEM certificate")
		}
	}
	if s.TLS.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(s.TLS.Cert), []byte(s.TLS.Key))
		if err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (t *transport) close() {
	t.h1.CloseIdleConnections()
	if t.lane != nil {
		t.lane.Close()
	}
}

func (t *transport) connect(ctx context.Context) error {
	c, err := t.dial(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}

func (t *transport) send(ctx context.Context, r *Request, body *attempt, p *progress) (*Response, error) {
	req, err := t.request(r, body)
	if err != nil {
		return nil, err
	}
	gate := &informer{inform: r.Inform, asked: r.Expects, progress: p}
	defer gate.close()
	res, err := t.h1.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:        func(string) { p.begun.Store(true) },
		GotConn:        func(i httptrace.GotConnInfo) { t.got(i, p) },
		WroteHeaders:   func() { p.sent.Store(true) },
		Got1xxResponse: gate.got,
		// What had begun to answer is not asked again (retries: before any byte of the answer).
		GotFirstResponseByte: func() { p.informed.Store(true) },
	})))
	if err != nil {
		return nil, err
	}
	return t.response(r, res)
}

// got notes that there is a connection. The library sends a safe request again
// each time a kept connection dies under it, over another kept one as long as there
// are any: a backend that dies of a request would see it as often as it has
// connections. So a request that was sent already is given no kept one: we close
// it, nothing can be written to it, and the library goes on to a fresh one. A fresh
// one that dies is the end. Streams of HTTP/2 share a connection, and are sent
// again only where the target says that it has not begun them.
func (t *transport) got(info httptrace.GotConnInfo, p *progress) {
	p.connected.Store(true)
	if !info.Reused || t.protocol == model.HTTP2 || !p.resent && !p.sent.Load() {
		return
	}
	c := info.Conn
	if t, ok := c.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		c = t.NetConn() // no farewell: it may not be taken, and somebody waits
	}
	_ = c.Close()
}

func (t *transport) response(r *Request, res *http.Response) (*Response, error) {
	out := &Response{Status: res.StatusCode, Header: res.Header, Length: res.ContentLength, Body: res.Body,
		Trailer: func() http.Header { return res.Trailer }}
	err := checkHead(res, t.protocol == model.HTTP2 || res.TLS != nil && res.TLS.NegotiatedProtocol == "h2")
	switch {
	case err != nil:
	case res.StatusCode == http.StatusSwitchingProtocols:
		tunnel, ok := res.Body.(Tunnel)
		if !ok || r.Upgrade == "" || !strings.EqualFold(res.Header.Get("Upgrade"), r.Upgrade) {
			err = errUpgraded
			break
		}
		out.Tunnel, out.Length = tunnel, 0
	case r.Method == http.MethodHead || res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified:
		out.Length = 0
	}
	if err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return out, nil
}

// checkHead refuses what could not be passed on as it is, or would be read
// differently behind us.
func checkHead(res *http.Response, http2 bool) error {
	if res.StatusCode < 101 || res.StatusCode > 999 || res.StatusCode > 101 && res.StatusCode < 200 {
		return fmt.Errorf("status %d is no final answer", res.StatusCode)
	}
	if res.ProtoMajor != 1 && !(http2 && res.ProtoMajor == 2) {
		return fmt.Errorf("%s is no version of HTTP that was asked for", res.Proto)
	}
	for name, values := range res.Header {
		if !model.ValidToken(name) {
			return errors.New("a field name of the answer is no token")
		}
		for _, v := range values {
			if !model.ValidFieldValue(v) {
				return fmt.Errorf("field %s of the answer has control characters", name)
			}
		}
	}
	return nil
}

// request writes r anew for this hop. Its strings may be views into a buffer that
// is used again, and the library keeps them for longer than the request, in the
// header tables of HTTP/2 above all: everything is copied.
func (t *transport) request(r *Request, body *attempt) (*http.Request, error) {
	u := &url.URL{Scheme: t.base.Scheme, Host: t.base.Host}
	if err := setTarget(u, strings.Clone(r.Target)); err != nil {
		return nil, err
	}
	req := &http.Request{Method: strings.Clone(r.Method), URL: u, Host: strings.Clone(r.Host), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(r.Fields)+len(r.Add)+4)}
	for _, list := range [2][]model.Field{r.Fields, r.Add} {
		for i := range list {
			if f := &list[i]; !f.Dropped && !framing(f.Name) {
				k := textproto.CanonicalMIMEHeaderKey(f.Name)
				// The library takes these, spelled so, for leave to send any request
				// again after it may have been processed.
				if k == "Idempotency-Key" || k == "X-Idempotency-Key" {
					k = strings.ToLower(k)
				}
				if _, ok := req.Header[k]; !ok {
					k = strings.Clone(k)
				}
				req.Header[k] = append(req.Header[k], strings.Clone(f.Value))
			}
		}
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = nil // keeps the library from naming itself
	}
	plain := t.protocol == model.HTTP1 || t.protocol != model.HTTP2 && t.base.Scheme == "http"
	switch {
	case r.Upgrade != "":
		req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{strings.Clone(r.Upgrade)}
	case r.Trailers && plain:
		req.Header["Te"], req.Header["Connection"] = []string{"trailers"}, []string{"TE"}
	case r.Trailers:
		req.Header["Te"] = []string{"trailers"}
	}
	t.setBody(req, r, body)
	return req, nil
}

func (t *transport) setBody(req *http.Request, r *Request, body *attempt) {
	if body == nil {
		return
	}
	req.ContentLength = r.Length
	if r.Trailer != nil {
		req.Trailer = http.Header{}
		for _, n := range r.Declared {
			req.Trailer[textproto.CanonicalMIMEHeaderKey(n)] = nil
		}
	}
	req.Body = &ending{attempt: body, trailer: r.Trailer, into: req.Trailer}
	if r.Expects {
		req.Header["Expect"] = []string{"100-continue"}
	}
	// The library sends a body again only where nothing of the request was written.
	src := body.src
	req.GetBody = func() (io.ReadCloser, error) {
		if !src.whole() {
			return nil, errTorn
		}
		return &ending{attempt: src.attempt(), trailer: r.Trailer, into: req.Trailer}, nil
	}
}

// setTarget keeps the bytes of the target as they were decided on.
func setTarget(u *url.URL, target string) error {
	path, query, asked := strings.Cut(target, "?")
	u.RawQuery, u.ForceQuery = query, asked
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path
		return nil
	}
	// An opaque part that starts with // would be taken for an authority.
	plain, err := url.PathUnescape(path)
	if err != nil {
		return err
	}
	u.Path, u.RawPath = plain, path
	if u.EscapedPath() != path {
		return errors.New("the path starts with // and cannot be sent as it is")
	}
	return nil
}

func framing(name string) bool {
	switch len(name) {
	case 2, 4, 6, 7, 10, 14, 16, 17:
	default:
		return false
	}
	for _, n := range [...]string{"TE", "Host", "Expect", "Trailer", "Upgrade", "Connection", "Keep-Alive", "Content-Length", "Proxy-Connection", "Transfer-Encoding"} {
		if model.EqualFold(name, n) {
			return true
		}
	}
	return false
}

func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// ending fills in the trailer fields once the body has ended.
type ending struct {
	*attempt
	trailer func() []model.Field
	into    http.Header
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.attempt.Read(p)
	if err == io.EOF && e.trailer != nil {
		for _, f := range e.trailer() {
			e.into.Add(f.Name, f.Value)
		}
		e.trailer = nil
	}
	return n, err
}

// informer passes interim answers on, as long as the exchange is open and there
// are not too many of them.
type informer struct {
	inform   func(int, http.Header)
	asked    bool // for 100 (Continue), which reading the body passes on
	progress *progress

	mu   sync.Mutex
	n    int
	over bool
}

func (i *informer) got(code int, fields textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.n++; i.n > interim {
		return errFlood
	}
	if code == http.StatusContinue && i.asked || i.inform == nil || i.over {
		return nil
	}
	i.progress.informed.Store(true)
	i.inform(code, http.Header(fields))
	return nil
}

func (i *informer) close() {
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
}
