package h2

import (
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/door/targettest"
)

// TestThePublicSuite runs h2spec where it is installed.
func TestThePublicSuite(t *testing.T) {
	program, err := exec.LookPath("h2spec")
	if err != nil {
		t.Skip("h2spec is not installed")
	}
	b := targettest.New(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello, whoever reads this")) })
	for _, secure := range []bool{false, true} {
		g := start(t, b.URL, secure)
		host, port, _ := net.SplitHostPort(g.Host)
		args := []string{"--strict", "-h", host, "-p", port, "-o", "2"}
		if secure {
			args = append(args, "-t", "-k")
		}
		out, err := exec.Command(program, args...).CombinedOutput()
		text := string(out)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if i := strings.LastIndex(text, "tests,"); i > 0 {
			t.Log(strings.TrimSpace(text[max(0, i-8):]))
		}
	}
}
