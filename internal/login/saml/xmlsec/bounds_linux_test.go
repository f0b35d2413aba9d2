package xmlsec

import (
	"crypto/x509"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"
	"golang.org/x/sys/unix"
)

// What costs a stranger 256 KiB must not cost us seconds.
func TestNoMessageKeepsAProcessorBusy(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	deep := func(attrs, inner string) string {
		return strings.Repeat("<a "+attrs+">", 40) + inner + strings.Repeat("</a>", 40)
	}
	_, cert := signer()
	signed := signedBy(t, note, "_1", "", dsig.RSASHA256SignatureMethod)
	for _, tc := range []struct{ name, xml string }{
		{"attributes", "<a " + many(20000, ` a%d=""`) + "/>"},
		{"attributes of a namespace that is declared last", "<a" + many(20000, ` x:a%d=""`) + ` xmlns:x="u"/>`},
		{"namespaces", "<a" + many(9000, ` xmlns:a%d="u"`) + ">" + strings.Repeat("<b/>", 10000) + "</a>"},
		{"namespaces in depth", deep(many(60, ` xmlns:a%d="u"`), strings.Repeat("<b/>", 10000))},
		{"elements", "<a>" + strings.Repeat("<b/>", 60000) + "</a>"},
		{"as many elements and namespaces as there may be", "<x" + many(40, ` xmlns:a%d="u"`) + ">" + strings.Replace(signed, "<n:text", strings.Repeat("<n:b/>", 8000)+"<n:text", 1) + "</x>"},
		{"text", "<a>" + strings.Repeat("&lt;", 60000) + "</a>"},
		{"prefixes", "<a>" + strings.Repeat("<b xmlns:c='u'/>", 8000) + "</a>"},
		{"ids", "<a>" + many(8000, `<b ID="%d"/>`) + "</a>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if len(tc.xml) > 400<<10 {
				t.Fatal(len(tc.xml))
			}
			// What this thread used, for the machine may be busy with something else.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begin := used(t)
			root, err := Parse([]byte(tc.xml))
			if err == nil {
				for _, el := range root.ChildElements()[:min(1, len(root.ChildElements()))] {
					_, err = Verify(el, []*x509.Certificate{cert}, noon)
				}
			}
			took := used(t) - begin
			t.Logf("%s: %v", took, err)
			if took > time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// used is the processor time of this thread.
func used(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Skip(err)
	}
	return time.Duration(ts.Nano())
}

func TestASignatureCountsHoweverManyElementsStandBeforeIt(t *testing.T) {
	_, cert := signer()
	body := strings.Replace(note, "<n:text", strings.Repeat("<n:b></n:b>", 3000)+"<n:text", 1)
	root, err := Parse([]byte(signedBy(t, body, "_1", "xs", dsig.RSASHA256SignatureMethod)))
	if err != nil {
		t.Fatal(err)
	}
	out, err := Verify(root, []*x509.Certificate{cert}, noon)
	if err != nil || len(out.ChildElements()) != 3001 {
		t.Errorf("got %v, %v", out, err)
	}
}
