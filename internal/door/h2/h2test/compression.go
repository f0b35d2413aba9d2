package h2test

import (
	"bytes"
	"fmt"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// compression are header blocks to the byte (RFC 7541, 2 to 6).
func compression() []rule {
	// with is GET http / of host x, and more behind it.
	with := func(more ...byte) []byte { return append([]byte{0x82, 0x86, 0x84, 0x01, 1, 'x'}, more...) }
	send := func(block []byte) func(*Client) {
		return func(c *Client) { c.Frame(http2.FrameHeaders, EndStream|EndHeaders, 1, block...) }
	}
	bad := Dies(http2.ErrCodeCompression)
	list := []rule{
		{"indexed fields", send(with()), Echoes(1, "")},
		{"what was indexed is found again", send(with(0x40, 1, 'n', 1, 'v', 0xbe)), Echoes(1, "")},
		{"and in the next block", func(c *Client) {
			send(with(0x40, 1, 'n', 1, 'v'))(c)
			c.Frame(http2.FrameHeaders, EndStream|EndHeaders, 3, with(0xbe)...)
		}, Echoes(3, "")},
		{"Huffman that ends in the middle of a byte", send(with(0x00, 0x82, 0xa8, 0xbf, 1, 'v')), Echoes(1, "")},
		{"a table size update", send(append([]byte{0x20}, with()...)), Echoes(1, "")},
		{"two table size updates", send(append([]byte{0x20, 0x3f, 0xe1, 0x1f}, with()...)), Echoes(1, "")},
		{"index 0", send([]byte{0x80}), bad},
		{"an index beyond the tables", send([]byte{0xbe}), bad},
		{"an index that a smaller table has lost", func(c *Client) {
			send(with(0x40, 1, 'n', 1, 'v'))(c)
			c.Frame(http2.FrameHeaders, EndStream|EndHeaders, 3, append([]byte{0x20}, with(0xbe)...)...)
		}, bad},
		{"a literal whose name's index is beyond the tables", send([]byte{0x40 | 0x3f, 0x7f, 1, 'v'}), bad},
		{"a table size update at the end", send(with(0x40, 1, 'n', 1, 'v', 0x20)), bad},
		{"a table size update between fields", send(append([]byte{0x40, 1, 'n', 1, 'v', 0x20}, with()...)), bad},
		{"a table size update beyond the setting", send([]byte{0x3f, 0xe2, 0x1f}), bad},
		{"Huffman padding longer than seven bits", send(with(0x00, 0x83, 0xa8, 0xbf, 0xff, 1, 'v')), bad},
		{"Huffman padding that is not of ones", send(with(0x00, 0x81, 0xa8&^7, 1, 'v')), bad},
		{"the end of string within Huffman", send(with(0x00, 0x85, 0x00, 0xff, 0xff, 0xff, 0xff, 1, 'v')), bad},
		{"an integer without end", send([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), bad},
		{"a string longer than the block", send([]byte{0x00, 9, 'n'}), bad},
		{"a pseudo-header field a thousand times", send(bytes.Repeat([]byte{0x82}, 1000)), Malformed},
		{"the table stands behind a refused request", func(c *Client) {
			c.Request(1, true, With(Get, "Upper", "x", "x-kept", "kept")...)
			c.Until("RST_STREAM", func(e Event) bool { return e.Kind == "rst" && e.Stream == 1 })
			c.Request(3, true, With(Get, "x-kept", "kept")...)
		}, Echoes(3, "")},
	}
	for _, kind := range []struct {
		name    string
		pattern byte
		most    byte
	}{{"with indexing", 0x40, 63}, {"without indexing", 0, 15}, {"never indexed", 0x10, 15}} {
		for _, huffman := range []bool{false, true} {
			for _, indexed := range []bool{false, true} {
				list = append(list, rule{fmt.Sprintf("a literal %s: name indexed %v, Huffman %v", kind.name, indexed, huffman),
					send(with(literal(kind.pattern, kind.most, indexed, huffman)...)), Echoes(1, "")})
			}
		}
	}
	return list
}

// literal is a field whose name is user-agent's index, or new.
func literal(pattern, most byte, indexed, huffman bool) []byte {
	str := func(b []byte, s string) []byte {
		if huffman {
			return hpack.AppendHuffmanString(append(b, 0x80|byte(hpack.HuffmanEncodeLength(s))), s)
		}
		return append(append(b, byte(len(s))), s...)
	}
	const userAgent = 58
	b := []byte{pattern}
	switch {
	case !indexed:
		b = str(b, "x-custom")
	case userAgent < most:
		b[0] |= userAgent
	default:
		b = append([]byte{pattern | most}, userAgent-most)
	}
	return str(b, "frames/1.0")
}
