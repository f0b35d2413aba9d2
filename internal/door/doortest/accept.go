package doortest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// Engine is a door that is given connections, and says when it is done with one,
// which it closes.
type Engine interface {
	ServeConn(nc net.Conn, ended func())
	Drain()
	Shutdown(ctx context.Context) error
}

// Accept listens for an engine, over TLS where the world says so, which then settles
// on the protocol.
func (g *Rig) Accept(e Engine, protocol string) Running {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.T.Fatal(err)
	}
	r := Running{Host: ln.Addr().String()}
	var conf *tls.Config
	if g.Secure {
		conf, r.Roots = certificate(g.T)
		conf.NextProtos = []string{protocol}
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			all.Add(1)
			go func() {
				if conf != nil {
					t := tls.Server(nc, conf)
					if t.Handshake() != nil {
						_ = nc.Close()
						all.Done()
						return
					}
					nc = t
				}
				e.ServeConn(nc, all.Done)
			}()
		}
	})
	r.Drain = func(ctx context.Context) error {
		_ = ln.Close()
		e.Drain()
		return e.Shutdown(ctx)
	}
	r.Close = func() {
		_ = ln.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = e.Shutdown(ctx)
		all.Wait()
	}
	return r
}

// certificate is one of localhost's, and who trusts it.
func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
