package xmlsec

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"
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
		{"as many elements and namespaces as there may be", "<x" + many(50, ` xmlns:a%d="u"`) + ">" + strings.Replace(signed, "<n:text", strings.Repeat("<n:b/>", 16000)+"<n:text", 1) + "</x>"},
		{"text", "<a>" + strings.Repeat("&lt;", 60000) + "</a>"},
		{"prefixes", "<a>" + strings.Repeat("<b xmlns:c='u'/>", 15000) + "</a>"},
		{"ids", "<a>" + many(12000, `<b ID="%d"/>`) + "</a>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if len(tc.xml) > 400<<10 {
				t.Fatal(len(tc.xml))
			}
			best := time.Hour
			for range 3 { // the machine may be busy with something else
				begin := time.Now()
				root, err := Parse([]byte(tc.xml))
				if err == nil {
					for _, el := range root.ChildElements()[:min(1, len(root.ChildElements()))] {
						_, err = Verify(el, []*x509.Certificate{cert}, noon)
					}
				}
				t.Logf("%s: %v", time.Since(begin), err)
				best = min(best, time.Since(begin))
			}
			if best > time.Second {
				t.Errorf("it took %s", best)
			}
		})
	}
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
