//go:build e2e

package e2e

import (
	"strings"
)

// What net/http does by itself, before the gateway sees the request, and cannot be
// told not to do.
const (
	prefersTE    = "net/http drops Content-Length beside Transfer-Encoding, and goes on"
	noEmptyLines = "net/http refuses an empty line before a request"
	believesHost = "net/http believes the target's host, and drops Host"
	dropsCoding  = "net/http drops the Transfer-Encoding of an answer in HTTP/1.0, and shows nobody that it was there"
)

const (
	getC  = "GET {C} HTTP/1.1\r\nHost: x\r\n"
	postC = "POST {C} HTTP/1.1\r\nHost: x\r\n"
	ok200 = "HTTP/1.1 200 OK\r\n"
)

// musts are the demands, by the clauses of RFC 9110 and 9112.
func musts() (out []must) {
	for _, list := range [][]must{aboutLines(), aboutTargets(), aboutFraming(), aboutConnections(), aboutForwarding(), aboutExpect(), aboutAnswers(), aboutBodies(), aboutUpgrade(), aboutOurOwn()} {
		out = append(out, list...)
	}
	return out
}

func aboutLines() []must {
	no := func(clause, name, send string) must {
		return must{clause: clause, name: name, send: send, want: []claim{refused, closes}}
	}
	return []must{
		no("9112 2.2", "a bare CR in the request line", "GET {C}\rX HTTP/1.1\r\nHost: x\r\n\r\n"),
		no("9112 2.2", "a bare CR in a field value", getC+"X-A: b\rX-B: c\r\n\r\n"),
		no("9112 2.2", "a bare CR before the line's end", getC+"X-A: b\r\r\n\r\n"),
		no("9112 2.2", "white space between the request line and the first field", "GET {C} HTTP/1.1\r\n X-A: b\r\nHost: x\r\n\r\n"),
		{clause: "9112 2.2", name: "an empty line before a request is passed over", send: "\r\n" + getC + "\r\n", want: []claim{statuses(200)}, standard: noEmptyLines},
		no("9112 2.2", "what is no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
		no("9112 2.3", "a version in small letters", "GET {C} http/1.1\r\nHost: x\r\n\r\n"),
		no("9112 2.3", "a version of three parts", "GET {C} HTTP/1.1.1\r\nHost: x\r\n\r\n"),
		no("9110 2.5", "a major version that is not spoken", "GET {C} HTTP/2.0\r\nHost: x\r\n\r\n"),
		no("9112 3", "a request line without version", "GET {C}\r\nHost: x\r\n\r\n"),
		no("9112 3", "two spaces in the request line", "GET  {C} HTTP/1.1\r\nHost: x\r\n\r\n"),
		no("9112 3", "a tab in the request line", "GET\t{C} HTTP/1.1\r\nHost: x\r\n\r\n"),
		no("9110 9.1", "a method that is no token", "G(T {C} HTTP/1.1\r\nHost: x\r\n\r\n"),
		{clause: "9110 9.1", name: "methods are case-sensitive, and unknown ones pass", send: "get {C} HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{statuses(200), line("get {C} HTTP/1.1")}},
		{clause: "9110 9.1", name: "a method of an extension passes as it is", send: "PROPPATCH {C} HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{statuses(200), line("PROPPATCH {C} HTTP/1.1")}},
		{clause: "9112 3", name: "a target that is too long is 414", send: "GET {C}?" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{anyOf(statuses(414), statuses(431)), unseen}},
		{clause: "9112 3", name: "a target of 8000 bytes is served", send: "GET {C}?" + strings.Repeat("x", 8000) + " HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{statuses(200)}},
		{clause: "9110 5.4", name: "a head that is too large is 4xx", send: getC + strings.Repeat("X-A: "+strings.Repeat("y", 4000)+"\r\n", 20) + "\r\n", want: []claim{refused}},
		no("9112 5.1", "a space before a colon", getC+"X-A : b\r\n\r\n"),
		no("9112 5.1", "a tab before a colon", getC+"X-A\t: b\r\n\r\n"),
		{clause: "9112 5.2", name: "a folded line is refused, or unfolded", send: getC + "X-A: b\r\n c\r\n\r\n", want: []claim{anyOf(refused, sees("X-A", "b c"))}},
		{clause: "9112 5.2", name: "a folded line never passes as it is", send: getC + "X-A: b\r\n\tc\r\n\r\n", want: []claim{neverSees("\r\n\tc"), neverSees("\r\n c")}},
		no("9110 5.5", "NUL in a value", getC+"X-A: b\x00c\r\n\r\n"),
		no("9110 5.5", "a control byte in a value", getC+"X-A: b\x01c\r\n\r\n"),
		no("9110 5.1", "a name with a space", getC+"X A: b\r\n\r\n"),
		no("9110 5.1", "an empty name", getC+": b\r\n\r\n"),
		no("9110 5.1", "a line without colon", getC+"junk\r\n\r\n"),
		{clause: "9110 5.5", name: "white space round a value is no part of it", send: getC + "X-A: \t b c \t\r\n\r\n", want: []claim{sees("X-A", "b c"), neverSees("c \t")}},
		{clause: "9110 5.5", name: "bytes above ASCII pass as they are", send: getC + "X-A: \xe9\xff\r\n\r\n", want: []claim{sees("X-A", "\xe9\xff")}},
		{clause: "9110 5.1", name: "names are case-insensitive", send: "GET {C} HTTP/1.1\r\nhOST: x\r\ncONNECTION: CLOSE\r\n\r\n", want: []claim{statuses(200), closes}},
		{clause: "9110 5.1", name: "the framing's names are case-insensitive", send: "POST {C} HTTP/1.1\r\nHost: x\r\ncOnTeNt-LeNgTh: 5\r\n\r\nhello", want: []claim{statuses(200), seesBody("hello"), stays}},
		{clause: "9112 2.2", name: "lines that end in LF are refused, or mended", send: "GET {C} HTTP/1.1\nHost: x\nX-A: b\n\n", want: []claim{anyOf(refused, sees("X-A", "b"))}},
	}
}

func aboutTargets() []must {
	no := func(clause, name, send string) must {
		return must{clause: clause, name: name, send: send, want: []claim{refused, closes}}
	}
	return []must{
		no("9112 3.2", "no Host", "GET {C} HTTP/1.1\r\n\r\n"),
		no("9112 3.2", "two Hosts", "GET {C} HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
		no("9112 3.2", "a Host with a path", "GET {C} HTTP/1.1\r\nHost: x/y\r\n\r\n"),
		no("9112 3.2", "a Host with a space", "GET {C} HTTP/1.1\r\nHost: x y\r\n\r\n"),
		no("9112 3.2", "a Host with a user", "GET {C} HTTP/1.1\r\nHost: u@x\r\n\r\n"),
		no("9112 3.2", "an empty Host for a target that has an authority", "GET http://x{C} HTTP/1.1\r\nHost:\r\n\r\n").unless(believesHost),
		{clause: "9112 3.2.1", name: "the target passes as it is", send: "GET {C}/b;c=d,e:f@g!$&'()*+?h=i%20j&k=%2F/?:@ HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{line("GET {C}/b;c=d,e:f@g!$&'()*+?h=i%20j&k=%2F/?:@ HTTP/1.1")}},
		{clause: "9112 3.2.1", name: "an empty query passes as it is", send: "GET {C}? HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{line("GET {C}? HTTP/1.1")}},
		{clause: "9112 3.2.2", name: "the absolute form is taken, and sent on as the origin form", send: "GET http://x{C}?a HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{line("GET {C}?a HTTP/1.1"), sees("Host", "x")}},
		{clause: "9112 3.2.2", name: "an absolute form that contradicts Host is refused, or believed", send: "GET http://y{C} HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{anyOf(refused, sees("Host", "y"))}},
		{clause: "9112 3.2.1", name: "an absolute form without path is that of /", send: "GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{anyOf(statuses(404), line("GET / HTTP/1.1"))}},
		{clause: "9112 3.2.4", name: "OPTIONS of a whole server is never OPTIONS of /", send: "OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{neverSees("OPTIONS / ")}},
		{clause: "9112 3.2.4", name: "OPTIONS * is no path of a service", send: "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{neverSees("OPTIONS / ")}},
		no("9112 3.2.4", "the asterisk with another method", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
		no("9112 3.2.3", "the authority form with another method", "GET x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n"),
		{clause: "9110 9.3.6", name: "CONNECT opens no tunnel", send: "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", want: []claim{refused}},
		{clause: "9110 9.3.6", name: "nor does CONNECT to a path", send: "CONNECT {C} HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{refused}},
		no("9110 4.1", "a fragment", "GET {C}#b HTTP/1.1\r\nHost: x\r\n\r\n"),
		no("9112 3.2", "a target with a byte above ASCII", "GET {C}\xe9 HTTP/1.1\r\nHost: x\r\n\r\n"),
		no("9112 3.2", "a target with a control byte", "GET {C}\x01 HTTP/1.1\r\nHost: x\r\n\r\n"),
		no("9110 4.2.4", "a target with a user", "GET http://u:p@x{C} HTTP/1.1\r\nHost: x\r\n\r\n"),
		{clause: "9110 7.2", name: "Host passes once, and first", send: "GET {C} HTTP/1.1\r\nX-A: b\r\nHost: x:8080\r\n\r\n", want: []claim{sees("Host", "x:8080"), func(o *outcome) string {
			if len(o.asked) == 0 || !strings.HasPrefix(strings.SplitN(o.asked[0].head, "\r\n", 3)[1], "Host: ") {
				return "Host is not the first field"
			}
			return ""
		}}},
	}
}

// unless excuses net/http.
func (k must) unless(reason string) must {
	k.standard = reason
	return k
}

func aboutFraming() []must {
	no := func(clause, name, send string) must {
		return must{clause: clause, name: name, send: send, want: []claim{refused, closes}}
	}
	// The head was good, and may have passed; the body must not, as a whole.
	bad := func(clause, name, chunks string) must {
		return must{clause: clause, name: name, send: postC + "Transfer-Encoding: chunked\r\n\r\n" + chunks, want: []claim{seesNoWhole, closes, func(o *outcome) string {
			if len(o.finals) > 0 && o.finals[0].status < 400 {
				return "it is answered " + o.client
			}
			return ""
		}}}
	}
	list := []must{
		{clause: "9112 6.1", name: "a coding beside a length: refused, or the length dropped; and the connection ends", send: postC + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: []claim{anyOf(refused, sees("Content-Length")), closes}, standard: prefersTE},
		{clause: "9112 6.1", name: "and in the other order", send: postC + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", want: []claim{anyOf(refused, sees("Content-Length")), closes}, standard: prefersTE},
		no("9112 6.3", "chunked that is not last", postC+"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
		no("9112 6.1", "chunked twice", postC+"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
		no("9112 6.1", "chunked in two lines", postC+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		no("9112 6.1", "a coding that nobody knows", postC+"Transfer-Encoding: cow\r\n\r\n0\r\n\r\n"),
		no("9112 6.1", "a coding before chunked that is not spoken", postC+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
		{clause: "9112 6.1", name: "a coding in HTTP/1.0 is faulty framing", send: "POST {C} HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: []claim{closes, anyOf(refused, seesBody(""))}},
		{clause: "9112 6.3", name: "two lengths of one value: refused, or one of them passes", send: postC + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", want: []claim{anyOf(refused, both(sees("Content-Length", "5"), seesBody("hello")))}},
		{clause: "9112 6.3", name: "a list of one value: refused, or one of them passes", send: postC + "Content-Length: 5, 5\r\n\r\nhello", want: []claim{anyOf(refused, both(sees("Content-Length", "5"), seesBody("hello")))}},
		no("9112 6.3", "two lengths", postC+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
		no("9112 6.3", "a list of two lengths", postC+"Content-Length: 5, 6\r\n\r\nhello!"),
		{clause: "9112 6.3", name: "no framing means no body", send: postC + "\r\nGET /open/probe HTTP/1.1\r\nHost: x\r\n\r\n", methods: []string{"POST", "GET"}, want: []claim{statuses(200, 200), seesBody(""), stays}},
		{clause: "9110 8.6", name: "a length passes as it is", send: postC + "Content-Length: 11\r\n\r\nhello world", want: []claim{sees("Content-Length", "11"), seesBody("hello world"), stays}},
		{clause: "9110 8.6", name: "a length of nought passes", send: postC + "Content-Length: 0\r\n\r\n", want: []claim{sees("Content-Length", "0"), stays}},
		{clause: "9112 6", name: "a body on GET passes, and frames", send: getC + "Content-Length: 5\r\n\r\nhello", want: []claim{seesBody("hello"), stays}},
		{clause: "9112 6", name: "a body on DELETE passes, and frames", send: "DELETE {C} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", want: []claim{seesBody("hello"), stays}},
		{clause: "9112 7.1", name: "chunks are read, and framed anew", send: postC + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", want: []claim{seesBody("hello world"), stays}},
		{clause: "9112 7", name: "the coding's name is case-insensitive", send: postC + "Transfer-Encoding: ChUnKeD\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: []claim{seesBody("hello"), stays}},
		{clause: "9112 7.1", name: "sizes in capitals, with noughts", send: postC + "Transfer-Encoding: chunked\r\n\r\n000A\r\n0123456789\r\n0\r\n\r\n", want: []claim{seesBody("0123456789"), stays}},
		{clause: "9112 7.1.1", name: "extensions that nobody knows are passed over", send: postC + "Transfer-Encoding: chunked\r\n\r\n5;a;b=c;d=\"e;f\"\r\nhello\r\n0;g\r\n\r\n", want: []claim{seesBody("hello"), neverSees("a;b=c"), stays}},
		{clause: "9112 7.1.2", name: "trailers do not become fields", send: postC + "Transfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n", want: []claim{seesBody("hello"), sees("X-A"), stays}},
		{clause: "9110 6.5.1", name: "trailers that frame, route or ask are dropped", send: postC + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: cow\r\nHost: y\r\nAuthorization: z\r\nExpect: 100-continue\r\n\r\n", want: []claim{seesBody("hello"), neverSees("host: y"), neverSees("cow"), neverSees("content-length"), neverSees("authorization"), stays}},
		{clause: "9112 8", name: "a body that ends early by its length never looks whole", send: postC + "Content-Length: 10\r\n\r\nhello", half: true, want: []claim{seesNoWhole, closes}},
		{clause: "9112 8", name: "chunks that end early never look whole", send: postC + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", half: true, want: []claim{seesNoWhole, closes}},
		bad("9112 7.1", "a size that is no number", "x\r\nhello\r\n0\r\n\r\n"),
		bad("9112 7.1", "a size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
		bad("9112 7.1", "a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
		bad("9112 7.1", "a size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
		bad("9112 7.1", "no size", "\r\nhello\r\n0\r\n\r\n"),
		bad("9112 7.1", "data beyond its size", "5\r\nhello!\r\n0\r\n\r\n"),
		bad("9112 7.1", "data without its end", "5\r\nhello0\r\n\r\n"),
	}
	for _, v := range []string{"x", "5x", "+5", "-5", "0x5", "", "5 5", "5.0", "18446744073709551621", "\"5\""} {
		list = append(list, no("9112 6.3", "the length "+v, postC+"Content-Length: "+v+"\r\n\r\nhello"))
	}
	return list
}

func aboutConnections() []must {
	return []must{
		{clause: "9112 9.3", name: "HTTP/1.1 goes on", send: getC + "\r\n", want: []claim{statuses(200), stays}},
		{clause: "9112 9.6", name: "close is said, and done", send: getC + "Connection: close\r\n\r\n", want: []claim{statuses(200), hears("Connection", "close"), closes}},
		{clause: "9112 9.6", name: "close among other options", send: getC + "Connection: x , CLOSE,y\r\n\r\n", want: []claim{statuses(200), closes}},
		{clause: "9110 5.6.1", name: "empty elements of a list are passed over", send: getC + "Connection: ,, close , ,\r\n\r\n", want: []claim{statuses(200), closes}},
		{clause: "9112 9.6", name: "close in a second line", send: getC + "Connection: x\r\nConnection: close\r\n\r\n", want: []claim{statuses(200), closes}},
		{clause: "9112 9.6", name: "nothing behind close is served", send: getC + "Connection: close\r\n\r\nGET {C}/second HTTP/1.1\r\nHost: x\r\n\r\n", methods: []string{"GET"}, want: []claim{statuses(200), seenTimes(1), closes}},
		{clause: "9112 9.3", name: "HTTP/1.0 ends", send: "GET {C} HTTP/1.0\r\nHost: x\r\n\r\n", want: []claim{statuses(200), closes}},
		{clause: "9112 9.3", name: "HTTP/1.0 that would go on is told so, or ends", send: "GET {C} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", want: []claim{statuses(200), anyOf(closes, hears("Connection", "keep-alive"))}},
		{clause: "9112 9.3.2", name: "answers come in the order of requests", send: getC + "\r\nHEAD {C} HTTP/1.1\r\nHost: x\r\n\r\nPOST {C} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", methods: []string{"GET", "HEAD", "POST"}, reply: ok200 + "X-Line: {LINE}\r\nContent-Length: 0\r\n\r\n",
			want: []claim{statuses(200, 200, 200), seenTimes(3), stays, func(o *outcome) string {
				for i, m := range []string{"GET", "HEAD", "POST"} {
					if i < len(o.finals) && !strings.HasPrefix(strings.Join(o.finals[i].values("X-Line"), ""), m+" ") {
						return "the answers are not in order: " + o.client
					}
				}
				return ""
			}}},
		{clause: "9112 9.3.2", name: "a request behind a chunked one", send: postC + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET {C} HTTP/1.1\r\nHost: x\r\n\r\n", methods: []string{"POST", "GET"}, want: []claim{statuses(200, 200), seenTimes(2), stays}},
		{clause: "9112 9.3", name: "the body of a refused request is no request", send: "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\n\r\nGET /open/hidden HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", methods: []string{"POST"}, want: []claim{statuses(404), unseen}},
		{clause: "9112 9.3", name: "nor is a chunked one", send: "POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET {C} HTTP/1.1\r\nHost: x\r\n\r\n", methods: []string{"POST", "GET"}, want: []claim{anyOf(statuses(404, 200), both(statuses(404), closes))}},
		{clause: "9110 7.6.1", name: "Connection is not passed on", send: getC + "Connection: keep-alive\r\n\r\n", want: []claim{anyOf(sees("Connection"), sees("Connection", "keep-alive"))}},
		{clause: "9110 7.6.1", name: "nor what it names", send: getC + "Connection: X-One, x-two\r\nX-One: 1\r\nX-TWO: 2\r\nX-Three: 3\r\n\r\n", want: []claim{sees("X-One"), sees("X-Two"), sees("X-Three", "3"), neverSees("x-one")}},
		{clause: "9110 7.6.1", name: "nor what it names in a line behind", send: getC + "X-One: 1\r\nX-One: 2\r\nConnection: close\r\nConnection: x-one\r\n\r\n", want: []claim{sees("X-One")}},
		{clause: "9110 7.6.1", name: "naming the length does not unframe", send: postC + "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", want: []claim{anyOf(refused, seesBody("hello")), neverSees("connection: content-length")}},
		{clause: "9110 7.6.1", name: "naming the coding does not unframe", send: postC + "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: []claim{anyOf(refused, seesBody("hello"))}},
		{clause: "9110 7.6.1", name: "naming Host does not remove it", send: getC + "Connection: Host\r\n\r\n", want: []claim{anyOf(refused, sees("Host", "x"))}},
		{clause: "9110 7.6.1", name: "Keep-Alive is not passed on", send: getC + "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n", want: []claim{sees("Keep-Alive")}},
		{clause: "9110 7.6.1", name: "Proxy-Connection is not passed on", send: getC + "Proxy-Connection: keep-alive\r\n\r\n", want: []claim{sees("Proxy-Connection")}},
		{clause: "9110 7.6.1", name: "TE is not passed on", send: getC + "TE: deflate;q=0.5\r\nConnection: TE\r\n\r\n", want: []claim{neverSees("deflate")}},
		{clause: "9110 10.1.4", name: "TE: trailers is passed on with its Connection: TE, or not at all", send: getC + "TE: trailers\r\nConnection: TE\r\n\r\n", want: []claim{anyOf(sees("TE"), both(sees("TE", "trailers"), seesMatch("Connection", "(?i)\\bte\\b")))}},
		{clause: "9110 7.6.1", name: "an Upgrade that is not taken up is not passed on", send: getC + "Connection: Upgrade\r\nUpgrade: foo/1\r\n\r\n", want: []claim{statuses(200), sees("Upgrade"), stays}},
	}
}

func aboutForwarding() []must {
	return []must{
		{clause: "9110 6.2", name: "the version to the backend is the gateway's own", send: "GET {C} HTTP/1.0\r\nHost: x\r\n\r\n", want: []claim{line("GET {C} HTTP/1.1")}},
		{clause: "9110 6.2", name: "the version to the client is the gateway's own", send: getC + "\r\n", reply: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{statuses(200), hearsBody("ok"), stays}},
		{clause: "9110 7.6.3", name: "Via is sent, with the version received", version: true, send: getC + "\r\n", want: []claim{seesMatch("Via", `^1\.1 \S+$`)}},
		{clause: "9110 7.6.3", name: "Via of an HTTP/1.0 request says 1.0", send: "GET {C} HTTP/1.0\r\nHost: x\r\n\r\n", want: []claim{seesMatch("Via", `^1\.0 \S+$`)}},
		{clause: "9110 7.6.3", name: "Via goes behind those before it", version: true, send: getC + "Via: 1.0 fred\r\nVia: 1.1 p.example.net (Apache/1.1)\r\n\r\n", want: []claim{seesMatch("Via", `^1\.0 fred, 1\.1 p\.example\.net \(Apache/1\.1\), 1\.1 \S+$`)}},
		{clause: "9110 7.6.2", name: "OPTIONS with Max-Forwards: 0 goes no further", send: "OPTIONS {C} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n", want: []claim{unseen, func(o *outcome) string {
			if len(o.finals) != 1 || o.finals[0].status >= 500 {
				return "it is not answered: " + o.client
			}
			return ""
		}}},
		{clause: "9110 7.6.2", name: "OPTIONS with Max-Forwards goes on with one less", send: "OPTIONS {C} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 5\r\n\r\n", want: []claim{sees("Max-Forwards", "4")}},
		{clause: "9110 7.6.2", name: "TRACE with Max-Forwards: 0 goes no further", send: "TRACE {C} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n", want: []claim{unseen}},
		{clause: "9110 9.3.8", name: "TRACE shows no credentials", send: "TRACE {C} HTTP/1.1\r\nHost: x\r\nCookie: secret=1\r\nAuthorization: Basic c2VjcmV0\r\n\r\n", want: []claim{neverHears("secret=1"), neverHears("c2VjcmV0")}},
		{clause: "9110 5.1", name: "fields that nobody knows pass", send: getC + "X-Whatever!#$%&'*+.^_`|~: y\r\n\r\n", want: []claim{sees("X-Whatever!#$%&'*+.^_`|~", "y")}},
		{clause: "9110 5.3", name: "fields of one name keep their order", send: getC + "X-A: 1\r\nX-B: 2\r\nx-a: 3\r\nX-A: 4\r\n\r\n", want: []claim{sees("X-A", "1", "3", "4")}},
		{clause: "9110 5.5", name: "an empty value passes", send: getC + "X-A:\r\n\r\n", want: []claim{sees("X-A", "")}},
		{clause: "9110 11.6.2", name: "Authorization that is not the gateway's passes as it is", send: getC + "Authorization: Digest a=\"b\", c=d\r\n\r\n", want: []claim{sees("Authorization", "Digest a=\"b\", c=d")}},
		{clause: "9110 12.5.3", name: "Accept-Encoding is neither added nor changed", send: getC + "\r\n", want: []claim{sees("Accept-Encoding")}},
		{clause: "9110 12.5.3", name: "Accept-Encoding passes", send: getC + "Accept-Encoding: br;q=0.1, identity;q=0\r\n\r\n", want: []claim{sees("Accept-Encoding", "br;q=0.1, identity;q=0")}},
		{clause: "9110 10.1.5", name: "User-Agent is not the gateway's", send: getC + "\r\n", want: []claim{sees("User-Agent")}},
		{clause: "9110 14.2", name: "Range and If-Range pass", send: getC + "Range: bytes=0-1,5-\r\nIf-Range: \"a\"\r\n\r\n", want: []claim{sees("Range", "bytes=0-1,5-"), sees("If-Range", "\"a\"")}},
		{clause: "9110 13.1", name: "conditions pass", send: getC + "If-Match: \"a\", W/\"b\"\r\nIf-None-Match: *\r\nIf-Unmodified-Since: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n", want: []claim{sees("If-Match", "\"a\", W/\"b\""), sees("If-None-Match", "*"), sees("If-Unmodified-Since", "Mon, 01 Jan 2024 00:00:00 GMT")}},
		{clause: "9110 8", name: "what is said of the content passes", send: postC + "Content-Type: a/b; c=d\r\nContent-Encoding: br\r\nContent-Language: de\r\nContent-Length: 3\r\n\r\n\x00\xff\n", want: []claim{sees("Content-Type", "a/b; c=d"), sees("Content-Encoding", "br"), sees("Content-Language", "de"), seesBody("\x00\xff\n")}},
		{clause: "9110 9.2.2", name: "what is not idempotent is not sent twice", send: postC + "Content-Length: 5\r\n\r\nhello", reply: " ", hangUp: true, want: []claim{seenTimes(1), statuses(502)}},
		{clause: "9110 9.2.2", name: "nor where it has no body", send: "PATCH {C} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", reply: " ", hangUp: true, want: []claim{seenTimes(1), statuses(502)}},
	}
}

func aboutExpect() []must {
	return []must{
		{clause: "9110 10.1.1", name: "a client that waits is told to go on, once", send: postC + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", then: "hello", want: []claim{statuses(200), hearsInterim(100), seesBody("hello"), stays}},
		{clause: "9110 10.1.1", name: "a client that does not wait is served", send: postC + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", want: []claim{statuses(200), seesBody("hello"), stays}},
		{clause: "9110 10.1.1", name: "the same with chunks", send: postC + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", then: "5\r\nhello\r\n0\r\n\r\n", want: []claim{statuses(200), hearsInterim(100), seesBody("hello"), stays}},
		{clause: "9110 10.1.1", name: "HTTP/1.0 is never told to go on", send: "POST {C} HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", want: []claim{statuses(200), hearsInterim(), seesBody("hello")}},
		{clause: "9110 10.1.1", name: "who is refused is not told to go on", send: "POST {SECRET} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", want: []claim{statuses(401), hearsInterim(), unseen}},
		{clause: "9110 10.1.1", name: "and what follows a refusal is still framed", send: "POST {SECRET} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 44\r\n\r\n", then: "GET /open/hidden HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", want: []claim{func(o *outcome) string {
			if len(o.finals) == 0 || o.finals[0].status != 401 {
				return "it is not refused: " + o.client
			}
			return ""
		}, unseen}},
		{clause: "9110 10.1.1", name: "an expectation that nobody knows is 417, or passed over", send: getC + "Expect: miracles\r\n\r\n", want: []claim{anyOf(statuses(417), statuses(200))}},
		{clause: "9110 10.1.1", name: "a backend's refusal reaches a client that waits", send: postC + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", early: true, reply: "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", hangUp: true, want: []claim{func(o *outcome) string {
			if len(o.finals) != 1 || o.finals[0].status != 413 {
				return "the client got " + o.client
			}
			return ""
		}}},
	}
}

func aboutAnswers() []must {
	no := func(clause, name, reply string) must {
		return must{clause: clause, name: "from the backend: " + name, send: getC + "\r\n", reply: reply, hangUp: true, want: []claim{badGateway}}
	}
	list := []must{
		{clause: "9110 15.2", name: "interim answers pass", send: getC + "\r\n", reply: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok200 + "Content-Length: 2\r\n\r\nok", want: []claim{statuses(200), hearsInterim(103), hearsText("Link: </a>"), stays}},
		{clause: "9110 15.2", name: "several of them", send: getC + "\r\n", reply: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" + ok200 + "Content-Length: 2\r\n\r\nok", want: []claim{statuses(200), hearsInterim(102, 103, 103), stays}},
		{clause: "9110 15.2", name: "unknown ones too", send: getC + "\r\n", reply: "HTTP/1.1 199 Nearly\r\n\r\n" + ok200 + "Content-Length: 2\r\n\r\nok", want: []claim{statuses(200), hearsBody("ok"), stays}},
		{clause: "9110 15.2", name: "none to HTTP/1.0", send: "GET {C} HTTP/1.0\r\nHost: x\r\n\r\n", reply: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok200 + "Content-Length: 2\r\n\r\nok", want: []claim{statuses(200), hearsInterim()}},
		{clause: "9110 15.2.1", name: "a 100 that nobody waits for confuses nothing", send: getC + "\r\n", reply: "HTTP/1.1 100 Continue\r\n\r\n" + ok200 + "Content-Length: 2\r\n\r\nok", want: []claim{statuses(200), hearsBody("ok"), stays}},
		no("9110 15.2.2", "101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
		{clause: "9110 15.3.5", name: "204 has no body, and no length", send: getC + "\r\n", reply: "HTTP/1.1 204 No Content\r\n\r\n", want: []claim{statuses(204), stays}},
		{clause: "9110 15.4.5", name: "304 has no body, whatever its length says", send: getC + "\r\n", reply: "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n", want: []claim{statuses(304), hears("ETag", "\"a\""), stays}},
		{clause: "9110 9.3.2", name: "HEAD has no body, whatever its length says", send: "HEAD {C} HTTP/1.1\r\nHost: x\r\n\r\n", reply: ok200 + "Content-Length: 500\r\n\r\n", want: []claim{statuses(200), hears("Content-Length", "500"), stays}},
		{clause: "9110 9.3.2", name: "nor whatever its coding says", send: "HEAD {C} HTTP/1.1\r\nHost: x\r\n\r\n", reply: ok200 + "Transfer-Encoding: chunked\r\n\r\n", want: []claim{statuses(200), stays}},
		{clause: "9110 9.3.2", name: "HEAD is sent as HEAD", send: "HEAD {C} HTTP/1.1\r\nHost: x\r\n\r\n", reply: ok200 + "Content-Length: 1\r\n\r\n", want: []claim{line("HEAD {C} HTTP/1.1")}},
		{clause: "9110 15", name: "a status that nobody knows passes", send: getC + "\r\n", reply: "HTTP/1.1 299 Very Fine\r\nContent-Length: 2\r\n\r\nok", want: []claim{statuses(299), hearsBody("ok"), stays}},
		{clause: "9112 4", name: "an empty reason passes", send: getC + "\r\n", reply: "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", want: []claim{statuses(200), hearsBody("ok"), stays}},
		{clause: "9110 6.6.1", name: "Date is added where there is none", send: getC + "\r\n", want: []claim{func(o *outcome) string {
			if len(o.finals) == 0 || len(o.finals[0].values("Date")) != 1 || !strings.HasSuffix(o.finals[0].values("Date")[0], " GMT") {
				return "no Date: " + o.client
			}
			return ""
		}}},
		{clause: "9110 6.6.1", name: "and kept where there is one", send: getC + "\r\n", reply: ok200 + "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok", want: []claim{hears("Date", "Mon, 01 Jan 2024 00:00:00 GMT")}},
		{clause: "9110 7.6.1", name: "an answer's Connection is not passed on, nor what it names", send: getC + "\r\n", reply: ok200 + "Connection: X-One, keep-alive\r\nX-One: 1\r\nX-Two: 2\r\nContent-Length: 2\r\n\r\nok", want: []claim{hears("X-One"), hears("X-Two", "2"), stays}},
		{clause: "9110 7.6.1", name: "nor Keep-Alive, Proxy-Connection, Upgrade", send: getC + "\r\n", reply: ok200 + "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", want: []claim{hears("Keep-Alive"), hears("Proxy-Connection"), stays}},
		{clause: "9112 9.6", name: "the backend's close is not the client's", send: getC + "\r\n", reply: ok200 + "Connection: close\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{statuses(200), hearsBody("ok"), hears("Connection"), stays}},
		{clause: "9110 5.3", name: "Set-Cookie is never joined, and keeps its order", send: getC + "\r\n", reply: ok200 + "Set-Cookie: a=1; Path=/\r\nX-A: b\r\nSet-Cookie: c=2, d\r\nset-cookie: e=3\r\nContent-Length: 2\r\n\r\nok", want: []claim{hears("Set-Cookie", "a=1; Path=/", "c=2, d", "e=3")}},
		{clause: "9110 5.1", name: "fields of an answer that nobody knows pass", send: getC + "\r\n", reply: ok200 + "X-Odd!: \xe9\r\nX-A:\r\nx-b: c\r\nX-B: d\r\nContent-Length: 2\r\n\r\nok", want: []claim{hears("X-Odd!", "\xe9"), hears("X-A", ""), hears("X-B", "c", "d")}},
		{clause: "9110 7.7", name: "what a proxy must not touch is not touched", send: getC + "\r\n", reply: ok200 + "Cache-Control: no-transform\r\nContent-Encoding: gzip\r\nContent-Type: a/b\r\nContent-Language: de\r\nContent-Location: /x\r\nContent-Range: bytes 0-1/2\r\nETag: W/\"a\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nExpires: 0\r\nVary: *\r\nServer: s/1\r\nAllow: GET, BREW\r\nAccept-Ranges: none\r\nLocation: /y\r\nRetry-After: 3\r\nAge: 7\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\xff",
			want: []claim{hears("Cache-Control", "no-transform"), hears("Content-Encoding", "gzip"), hears("Content-Type", "a/b"), hears("Content-Language", "de"), hears("Content-Location", "/x"), hears("Content-Range", "bytes 0-1/2"), hears("ETag", "W/\"a\""), hears("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"), hears("Expires", "0"), hears("Vary", "*"), hears("Server", "s/1"), hears("Allow", "GET, BREW"),
				hears("Accept-Ranges", "none"), hears("Location", "/y"), hears("Retry-After", "3"), hears("Age", "7"), hearsBody("\x1f\x8b\x00\xff")}},
		{clause: "9110 11.6.1", name: "the backend's WWW-Authenticate is not touched", send: getC + "\r\n", reply: "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Newauth realm=\"a, b\", type=1, Basic realm=\"c\"\r\nWWW-Authenticate: X\r\nContent-Length: 0\r\n\r\n", want: []claim{statuses(401), hears("WWW-Authenticate", "Newauth realm=\"a, b\", type=1, Basic realm=\"c\"", "X")}},
		{clause: "9110 8.3", name: "a Content-Type is not guessed", send: getC + "\r\n", reply: ok200 + "Content-Length: 6\r\n\r\n<html>", want: []claim{hears("Content-Type"), hearsBody("<html>")}},
		{clause: "9112 5.2", name: "a folded line of an answer is refused, or unfolded", send: getC + "\r\n", reply: ok200 + "X-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{anyOf(badGateway, hears("X-A", "b c"))}},
		{clause: "9112 5.1", name: "a space before an answer's colon is removed, or refused", send: getC + "\r\n", reply: ok200 + "X-A : b\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{anyOf(badGateway, hears("X-A", "b")), neverHears("X-A :")}},
		{clause: "9112 2.2", name: "a bare CR of an answer never passes", send: getC + "\r\n", reply: ok200 + "X-A: b\rX-B: c\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{neverHears("b\rX-B")}},
		{clause: "9110 5.5", name: "NUL of an answer never passes", send: getC + "\r\n", reply: ok200 + "X-A: b\x00c\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{neverHears("\x00")}},
		no("9112 4", "no HTTP", "hello\r\n\r\n"),
		no("9112 4", "nothing", " "),
		no("9112 4", "a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
		no("9112 4", "a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
		no("9112 4", "a status of letters", "HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n"),
		no("9112 4", "a version that was not asked for", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
		no("9112 4", "an answer that breaks off in its head", "HTTP/1.1 200 OK\r\nX-A: b"),
		no("9110 15", "a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
		{clause: "9110 15", name: "a status of 600 and above is refused, or passes as it is", send: getC + "\r\n", reply: "HTTP/1.1 666 Beast\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{anyOf(badGateway, statuses(666))}},
	}
	for _, v := range []string{"x", "+2", "-2", "2x", "0x2", "99999999999999999999"} {
		list = append(list, no("9112 6.3", "the length "+v, ok200+"Content-Length: "+v+"\r\n\r\nok"))
	}
	return list
}

func aboutBodies() []must {
	no := func(clause, name, reply string) must {
		return must{clause: clause, name: "from the backend: " + name, send: getC + "\r\n", reply: reply, hangUp: true, want: []claim{badGateway}}
	}
	cut := func(clause, name, reply string) must {
		return must{clause: clause, name: "from the backend: " + name, send: getC + "\r\n", reply: reply, hangUp: true, want: []claim{notClean}}
	}
	return []must{
		no("9112 6.3", "two lengths", ok200+"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
		no("9112 6.3", "a list of two lengths", ok200+"Content-Length: 2, 3\r\n\r\nok"),
		{clause: "9112 6.3", name: "two equal lengths of an answer are one, or refused", send: getC + "\r\n", reply: ok200 + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", hangUp: true, want: []claim{anyOf(badGateway, both(hears("Content-Length", "2"), hearsBody("ok")))}},
		{clause: "9112 6.3", name: "a coding beside a length: the length is removed, or all refused", send: getC + "\r\n", reply: ok200 + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", hangUp: true, want: []claim{anyOf(badGateway, both(hears("Content-Length"), hearsBody("ok")))}},
		{clause: "9112 6.3", name: "a body up to the close passes", send: getC + "\r\n", reply: ok200 + "\r\nhello world", hangUp: true, want: []claim{statuses(200), hearsBody("hello world")}},
		{clause: "9112 7.1", name: "chunks of an answer pass", send: getC + "\r\n", reply: ok200 + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0006\r\n world\r\n0\r\n\r\n", want: []claim{statuses(200), hearsBody("hello world"), stays}},
		{clause: "9112 7.1.1", name: "extensions of an answer's chunks are passed over", send: getC + "\r\n", reply: ok200 + "Transfer-Encoding: Chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", want: []claim{hearsBody("hello"), neverHears("a=b"), stays}},
		{clause: "9112 6.1", name: "HTTP/1.0 gets no chunks", send: "GET {C} HTTP/1.0\r\nHost: x\r\n\r\n", reply: ok200 + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: []claim{statuses(200), hears("Transfer-Encoding"), hearsBody("hello"), closes}},
		{clause: "9112 6.1", name: "nor where it would go on", send: "GET {C} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", reply: ok200 + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: []claim{statuses(200), hears("Transfer-Encoding"), hearsBody("hello"), closes}},
		{clause: "9110 6.5", name: "trailers of an answer do not become fields", send: getC + "TE: trailers\r\nConnection: TE\r\n\r\n", reply: ok200 + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", want: []claim{hears("X-Sum"), hearsBody("hello"), stays}},
		{clause: "9110 6.5.1", name: "trailers of an answer that frame are dropped", send: getC + "TE: trailers\r\nConnection: TE\r\n\r\n", reply: ok200 + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: x\r\nSet-Cookie: a=b\r\n\r\n", want: []claim{hearsBody("hello"), neverHears("content-length: 3"), stays}},
		cut("9112 8", "a body shorter than its length", ok200+"Content-Length: 100\r\n\r\nhello"),
		cut("9112 8", "chunks that break off", ok200+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
		cut("9112 8", "a chunk that breaks off", ok200+"Transfer-Encoding: chunked\r\n\r\n50\r\nhello"),
		cut("9112 8", "the end of chunks that breaks off", ok200+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
		cut("9112 7.1", "a chunk's size that is none", ok200+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n\r\n"),
		cut("9112 7.1", "a chunk's size that overflows", ok200+"Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"),
		{clause: "9112 6.1", name: "a coding of an answer that is not spoken is refused", send: getC + "\r\n", reply: ok200 + "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", hangUp: true, want: []claim{badGateway}},
		{clause: "9112 6.3", name: "bytes behind an answer are nobody's answer", send: getC + "\r\n", reply: ok200 + "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil", then: "", want: []claim{statuses(200), hearsBody("ok"), neverHears("evil"), stays}},
		{clause: "9112 6.3", name: "a body of 204 is nobody's answer", send: getC + "\r\n", reply: "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil", want: []claim{statuses(204), neverHears("evil"), stays}},
		{clause: "9112 6.3", name: "a body of 304 is nobody's answer", send: getC + "\r\n", reply: "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", want: []claim{statuses(304), neverHears("evil"), stays}},
		{clause: "9112 6.3", name: "a body of HEAD is nobody's answer", send: "HEAD {C} HTTP/1.1\r\nHost: x\r\n\r\n", reply: ok200 + "Content-Length: 4\r\n\r\nevil", want: []claim{statuses(200), neverHears("evil"), stays}},
		{clause: "9112 6.3", name: "204 with a length is refused, or loses it", send: getC + "\r\n", reply: "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", hangUp: true, want: []claim{anyOf(badGateway, statuses(204)), neverHears("evil")}},
		{clause: "9112 6.1", name: "204 with a coding is refused, or loses it", send: getC + "\r\n", reply: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", hangUp: true, want: []claim{anyOf(badGateway, statuses(204)), neverHears("evil")}},
		{clause: "9112 6.1", name: "an answer's coding in HTTP/1.0 is faulty framing", send: getC + "\r\n", reply: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", hangUp: true, want: []claim{anyOf(badGateway, hearsBody("hello"))}, standard: dropsCoding},
		{clause: "9112 9.5", name: "an answer that comes early reaches a client that still sends", send: postC + "Content-Length: 5\r\n\r\n", then: "hello", early: true, reply: ok200 + "Content-Length: 5\r\n\r\nearly", want: []claim{statuses(200), hearsBody("early")}},
	}
}

func aboutUpgrade() []must {
	const shake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	return []must{
		{clause: "9110 7.8", name: "an upgrade that is served is passed on, and becomes a tunnel", send: getC + shake, then: "\x81\x02hi", reply: switched, want: []claim{statuses(101), sees("Upgrade", "websocket"), seesMatch("Connection", "(?i)upgrade"), hearsText("\x81\x02hi")}},
		{clause: "9110 7.8", name: "a backend may decline it", send: getC + shake, want: []claim{statuses(200), hearsBody("ok"), stays}},
		{clause: "9110 7.8", name: "Upgrade without Connection: upgrade is none", send: getC + "Upgrade: websocket\r\n\r\n", want: []claim{statuses(200), sees("Upgrade"), stays}},
		{clause: "9110 7.8", name: "HTTP/1.0 does not upgrade", send: "GET {C} HTTP/1.0\r\nHost: x\r\n" + shake, want: []claim{statuses(200), sees("Upgrade")}},
		{clause: "9110 7.8", name: "h2c is never passed on", send: getC + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", want: []claim{statuses(200), neverSees("h2c"), neverSees("http2-settings"), stays}},
		{clause: "9110 7.8", name: "a choice of protocols is not passed on whole", send: getC + "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", want: []claim{neverSees("h2c")}},
		{clause: "9110 7.8", name: "101 to another protocol than was asked for is refused", send: getC + shake, reply: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", hangUp: true, want: []claim{badGateway}},
		{clause: "9110 7.8", name: "what is sent behind an upgrade that is declined is a request like any other", send: getC + shake + "GET {SECRET} HTTP/1.1\r\nHost: x\r\n\r\n", methods: []string{"GET", "GET"}, want: []claim{anyOf(statuses(200, 401), both(statuses(200), closes)), seenTimes(1)}},
	}
}

func aboutOurOwn() []must {
	return []must{
		{clause: "9110 15.5.2", name: "401 has its WWW-Authenticate", send: "GET {SECRET} HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{statuses(401), func(o *outcome) string {
			if len(o.finals[0].values("WWW-Authenticate")) == 0 {
				return "none: " + o.client
			}
			return ""
		}, unseen, stays}},
		{clause: "9110 15.5.6", name: "405 has its Allow", send: "TRACE {C} HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{statuses(405), func(o *outcome) string {
			if len(o.finals[0].values("Allow")) == 0 {
				return "none: " + o.client
			}
			return ""
		}}},
		{clause: "9110 9.3.2", name: "a refusal of HEAD has no body", send: "HEAD {SECRET} HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{statuses(401), neverHears("credential_missing\",\"requestId"), stays}},
		{clause: "9112 9.3", name: "a refusal of a good request does not end the connection", send: "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{statuses(404), stays}},
		{clause: "9112 6.3", name: "nor where it had a body", send: "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", want: []claim{statuses(404), anyOf(stays, closes)}},
		{clause: "9110 15.5.14", name: "a body over the limit is 413", send: postC + "Content-Length: 99999999999\r\n\r\n", want: []claim{statuses(413), unseen}},
		{clause: "9110 15.6.3", name: "a refusal of the gateway's own says a media type", send: "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", want: []claim{hears("Content-Type", "application/problem+json")}},
		{clause: "9112 9.3", name: "an answer of the gateway's own to HTTP/1.0", send: "GET /nowhere HTTP/1.0\r\nHost: x\r\n\r\n", want: []claim{statuses(404), closes}},
	}
}
