package ldap

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport/sallyport/internal/model"
)

// mostBytes is how much a directory may say to one question.
const mostBytes = 8 << 20

// target is where a directory is and how it is reached.
type target struct {
	address              string // host:port
	startTLS             bool
	tls                  *tls.Config // nil = plain, on loopback alone
	bindDN, bindPassword string
}

func targetOf(p *model.IdentityProvider) (*target, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "ldaps":
		port = ldap.DefaultLdapsPort
	default:
		port = ldap.DefaultLdapPort
	}
	t := &target{address: net.JoinHostPort(u.Hostname(), port), startTLS: p.StartTLS, bindDN: p.BindDN, bindPassword: p.BindPassword}
	if u.Scheme != "ldaps" && !p.StartTLS {
		return t, nil
	}
	t.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if p.CA != "" {
		t.tls.RootCAs = x509.NewCertPool()
		if !t.tls.RootCAs.AppendCertsFromPEM([]byte(p.CA)) {
			return nil, errors.New("has no certificate in PEM form (-----BEGIN CERTIFICATE-----) that can be read")
		}
	}
	return t, nil
}

// conn is a connection that one question at a time is asked on.
type conn struct {
	*ldap.Conn
	wire *wire
	used time.Time // last
	once sync.Once
}

// wire bounds a connection in time and size, which the library does not: it would
// wait for ever to write to a server that does not read, and would keep whatever
// it is sent.
type wire struct {
	net.Conn
	left  atomic.Int64
	fault atomic.Pointer[error] // the first
}

var errTooMuch = fmt.Errorf("the directory's answer is larger than %d MiB", mostBytes>>20)

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if w.left.Add(-int64(n)) < 0 && err == nil {
		n, err = 0, errTooMuch
	}
	return n, w.note(err)
}

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	return n, w.note(err)
}

func (w *wire) note(err error) error {
	if err != nil {
		w.fault.CompareAndSwap(nil, &err)
	}
	return err
}

// begin starts the time for a question.
func (c *conn) begin(ctx context.Context, limit time.Duration) {
	end := time.Now().Add(limit)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	c.wire.left.Store(mostBytes)
	_ = c.wire.SetDeadline(end) // a broken connection is found out by its use
}

func (c *conn) end() { _ = c.wire.SetDeadline(time.Time{}) }

// cause is what the network said, which the library's errors do not keep.
func (c *conn) cause(err error) error {
	if f := c.wire.fault.Load(); f != nil && !answered(err) {
		if errors.Is(*f, io.EOF) {
			return errors.New("the directory closed the connection")
		}
		return *f
	}
	return err
}

func (c *conn) close() {
	c.once.Do(func() {
		_ = c.wire.Conn.Close()
		_ = c.Conn.Close()
	})
}

// dial connects, by TLS but on loopback.
func (t *target) dial(ctx context.Context, limit time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, trouble(stageConnect, t.address, err)
	}
	link, err := t.secure(ctx, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	w := &wire{Conn: link}
	w.left.Store(mostBytes)
	c := &conn{Conn: ldap.NewConn(w, t.tls != nil), wire: w}
	c.Start()
	return c, nil
}

func (t *target) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if t.tls == nil {
		// A name such as localhost is checked by where it led.
		if a, ok := raw.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return nil, trouble(stageTLS, t.address, errors.New("passwords do not travel in the clear, but on loopback"))
		}
		return raw, nil
	}
	if t.startTLS {
		end, _ := ctx.Deadline()
		_ = raw.SetDeadline(end)
		if err := startTLS(raw); err != nil {
			return nil, trouble(stageStartTLS, t.address, err)
		}
	}
	c := tls.Client(raw, t.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, trouble(stageTLS, t.address, err)
	}
	_ = raw.SetDeadline(time.Time{})
	return c, nil
}

// askStartTLS is the extended request 1.3.6.1.4.1.1466.20037 with message id 1
// (RFC 4511, 4.14.1).
var askStartTLS = append([]byte{0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16}, "1.3.6.1.4.1.1466.20037"...)

// startTLS asks for TLS and reads the answer to its last byte and no further: what
// somebody put behind it in the clear is never taken for a part of what is
// encrypted (the STARTTLS injection of CVE-2011-0411).
func startTLS(raw io.ReadWriter) error {
	if _, err := raw.Write(askStartTLS); err != nil {
		return err
	}
	packet, err := ber.ReadPacket(io.LimitReader(raw, 4<<10))
	if err != nil {
		return err
	}
	if len(packet.Children) < 2 || !bytes.Equal(packet.Children[0].ByteValue, []byte{1}) {
		return errors.New("the answer is not one to the question")
	}
	if op := packet.Children[1]; op.ClassType != ber.ClassApplication || op.Tag != ldap.ApplicationExtendedResponse {
		return errors.New("the answer is not one to the question")
	}
	return ldap.GetLDAPError(packet)
}

// state is the certificate that the directory showed; false where there is no TLS.
func (w *wire) state() (*x509.Certificate, bool) {
	c, ok := w.Conn.(*tls.Conn)
	if !ok || len(c.ConnectionState().PeerCertificates) == 0 {
		return nil, false
	}
	return c.ConnectionState().PeerCertificates[0], true
}
