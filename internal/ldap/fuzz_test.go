package ldap

import (
	"bytes"
	"io"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// FuzzFill compares the filter that goes out, as it is encoded, with what was typed:
// whatever the name, it is one comparison with exactly that name.
func FuzzFill(f *testing.F) {
	for _, s := range []string{"alice", "*", "a)(uid=*", `\2a`, `\`, "(", "ä\x00", "{dn}", "{username}", " a ", "=", ":dn:=", "~=", "\xff"} {
		f.Add(s, "uid=x,dc=y")
		f.Add("alice", s)
	}
	f.Fuzz(func(t *testing.T, username, dn string) {
		one, err := ldap.CompileFilter(fill(defaultUserFilter, username, dn))
		if err != nil {
			t.Fatalf("%q: %v", username, err)
		}
		compares(t, one, "uid", username)
		all, err := ldap.CompileFilter(fill(defaultGroupFilter, username, dn))
		if err != nil || len(all.Children) != 3 {
			t.Fatalf("%q %q: %v", username, dn, err)
		}
		compares(t, all.Children[0], "member", dn)
		compares(t, all.Children[1], "uniqueMember", dn)
		compares(t, all.Children[2], "memberUid", username)
	})
}

func compares(t *testing.T, p *ber.Packet, attribute, value string) {
	t.Helper()
	if p.Tag != ldap.FilterEqualityMatch || len(p.Children) != 2 || p.Children[0].Data.String() != attribute || p.Children[1].Data.String() != value {
		s, _ := ldap.DecompileFilter(p)
		t.Fatalf("%q became %s", value, s)
	}
}

// stream is a connection on which everything has been said already.
type stream struct{ *bytes.Reader }

func (stream) Write(b []byte) (int, error) { return len(b), nil }

// FuzzStartTLSAnswer compares what is accepted with a slow reading of RFC 4511, and
// looks how far it was read: what follows the answer is the handshake's.
func FuzzStartTLSAnswer(f *testing.F) {
	good := result(1, ldap.ApplicationExtendedResponse, 0).Bytes()
	f.Add(good)
	f.Add(append(bytes.Clone(good), "more"...))
	f.Add(result(1, ldap.ApplicationExtendedResponse, 52).Bytes())
	f.Add(result(2, ldap.ApplicationExtendedResponse, 0).Bytes())
	f.Add(result(1, ldap.ApplicationBindResponse, 0).Bytes())
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := stream{bytes.NewReader(b)}
		if startTLS(s) != nil {
			return
		}
		left, _ := io.ReadAll(s)
		tag, message, rest, ok := element(b[:len(b)-len(left)])
		if !ok {
			return // of a form that RFC 4511, 5.1 does not allow, and that is read all the same
		}
		idTag, id, message, ok1 := element(message)
		opTag, op, _, ok2 := element(message)
		_, code, _, ok3 := element(op)
		if !ok1 || !ok2 || !ok3 {
			return
		}
		if tag&0x20 == 0 || idTag&0x20 != 0 || !bytes.Equal(id, []byte{1}) || opTag != 0x78 || len(bytes.Trim(code, "\x00")) > 0 || len(rest) > 0 {
			t.Fatalf("accepted %x", b[:len(b)-len(left)])
		}
	})
}

// element takes an element of BER apart; false for indefinite lengths and tags of
// several bytes.
func element(b []byte) (tag byte, content, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, nil, nil, false
	}
	n, at := int(b[1]), 2
	if n >= 0x80 {
		at += n & 0x7f
		if n == 0x80 || at > 10 || len(b) < at {
			return 0, nil, nil, false
		}
		n = 0
		for _, c := range b[2:at] {
			n = n<<8 | int(c)
		}
	}
	if n < 0 || len(b)-at < n {
		return 0, nil, nil, false
	}
	return b[0], b[at : at+n], b[at+n:], true
}
