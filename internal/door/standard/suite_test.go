package standard

import (
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve opens the door of a rig as the gateway does, behind a listener.
func serve(g *doortest.Rig) doortest.Running {
	dir := g.T.TempDir()
	conf := listen.Config{Address: "127.0.0.1:0", Limits: listen.Limits{IdleTimeout: 4 * g.Idle}}
	if g.Secure {
		conf.TLS = &listen.TLS{SelfSigned: true, Dir: dir}
	}
	l, err := listen.Open(conf, listen.Options{})
	if err != nil {
		g.T.Fatal(err)
	}
	deps := Deps{Deps: g.Deps(), Pools: g.Pools}
	r := doortest.Running{Host: l.Addr().String(), Drain: l.Drain}
	if g.Secure {
		if deps.TLS == nil {
			deps.TLS = l
		}
		b, err := os.ReadFile(listen.CAFile(dir))
		if err != nil {
			g.T.Fatal(err)
		}
		r.Roots = x509.NewCertPool()
		r.Roots.AppendCertsFromPEM(b)
	}
	d := New(Config{IdleTimeout: g.Idle}, deps)
	served := make(chan error, 1)
	go func() { served <- l.Serve(listen.Handlers{HTTP: d, ConnContext: d.ConnContext, Drain: d.Drain}) }()
	r.Close = func() {
		_ = l.Close()
		if err := <-served; err != nil {
			g.T.Error(err)
		}
		// net/http waits for no handler that it has closed the connection of.
		for end := time.Now().Add(5 * time.Second); g.Held() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}
	return r
}

func TestItIsADoor(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2=", http2), func(t *testing.T) {
			doortest.Run(t, doortest.Door{Serve: serve, Secure: true, HTTP2: http2})
		})
	}
}

func TestItIsADoorForHTTP1(t *testing.T) { doortest.RunHTTP1(t, doortest.Door{Serve: serve}) }
