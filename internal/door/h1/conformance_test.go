package h1

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rule is one thing that RFC 9112 or RFC 9110 demands of a gateway (MUST, MUST NOT),
// judged by the bytes that the client hears and the target sees.
type rule struct {
	name   string
	send   string
	reply  string // of the target; "" = 200 with ok
	ends   bool   // the target closes behind its reply
	status []int  // of the answers, interim ones included; nil = 200
	heard  []string
	mute   []string // what the client must not hear
	seen   []string
	unseen []string // what the target must not see
	body   string   // of the last answer; "*" = whatever
	closes bool     // the connection must end; else it must go on
	cut    bool     // the last answer must not end cleanly, if it begins at all
	half   bool     // the client ends its side behind what it sends, and gets no answer
}

const probe = "GET /probe HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"

// get and post are what most rules begin with.
const (
	get  = "GET /a HTTP/1.1\r\nHost: x\r\n"
	post = "POST /a HTTP/1.1\r\nHost: x\r\n"
	okay = "HTTP/1.1 200 OK\r\n"
)

func bad(name, send string) rule {
	return rule{name: name, send: send, status: []int{400}, heard: []string{"application/problem+json", "\r\nX-Request-Id: ", "\r\nProxy-Status: sallyport; ", "\r\nConnection: close\r\n"}, body: "*", closes: true, unseen: []string{" "}}
}

func badReply(name, reply string) rule {
	return rule{name: name, send: get + "\r\n", reply: reply, status: []int{502}, heard: []string{"upstream_invalid"}, body: "*", ends: true}
}

var rules = [][]rule{requestRules, framingRules, connectionRules, fieldRules, answerRules}

var requestRules = []rule{
	bad("9112 2.2: a bare CR is no line ending", "GET /a HTTP/1.1\rHost: x\r\r\n\r\n"),
	bad("9112 2.2: white space before the first field is refused", "GET /a HTTP/1.1\r\n Host: x\r\n\r\n"),
	bad("9112 2.2: white space before the first field, then a real one", "GET /a HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n"),
	{name: "9112 2.2: an empty line before a request is ignored", send: "\r\n" + get + "\r\n"},
	bad("9112 2.3: the version is case-sensitive", "GET /a http/1.1\r\nHost: x\r\n\r\n"),
	bad("9112 2.3: a version is HTTP/DIGIT.DIGIT", "GET /a HTTP/1.1.1\r\nHost: x\r\n\r\n"),
	bad("9112 2.3: another major version is not served", "GET /a HTTP/3.0\r\nHost: x\r\n\r\n"),
	bad("9112 3: a request line has three parts", "GET /a\r\nHost: x\r\n\r\n"),
	bad("9112 3: no white space within the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
	bad("9112 3: a target with NUL", "GET /a\x00 HTTP/1.1\r\nHost: x\r\n\r\n"),
	{name: "9112 3: too long a target is 414", send: "GET /" + strings.Repeat("a", 40000) + " HTTP/1.1\r\nHost: x\r\n\r\n", status: []int{414}, body: "*", closes: true, unseen: []string{" "}},
	{name: "9110 5.4: too large a head is 4xx", send: get + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 40) + "\r\n", status: []int{431}, body: "*", closes: true, unseen: []string{" "}},
	{name: "9110 9.1: methods are case-sensitive and passed on", send: "gEt /a HTTP/1.1\r\nHost: x\r\n\r\n", seen: []string{"gEt /a HTTP/1.1\r\n"}},
	{name: "9110 9.1: an unknown method is passed on", send: "BREW /a HTTP/1.1\r\nHost: x\r\n\r\n", seen: []string{"BREW /a HTTP/1.1\r\n"}},
	{name: "9112 3.2.1: the path and the query are passed on as they are", send: "GET /a/b;c=d?e=%20f&g?h HTTP/1.1\r\nHost: x\r\n\r\n", seen: []string{"GET /a/b;c=d?e=%20f&g?h HTTP/1.1\r\n"}},
	{name: "9112 3.2.2: absolute-form is served", send: "GET http://x/a?b HTTP/1.1\r\nHost: x\r\n\r\n", seen: []string{"GET /a?b HTTP/1.1\r\nHost: x\r\n"}},
	{name: "9112 3.2.2: absolute-form without a path is /", send: "GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", seen: []string{"GET / HTTP/1.1\r\nHost: x\r\n"}},
	bad("9112 3.2.2: absolute-form and Host that differ", "GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n"),
	bad("9112 3.2.3: CONNECT in authority-form is not served", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"),
	bad("9112 3.2.3: CONNECT in another form", "CONNECT /a HTTP/1.1\r\nHost: x\r\n\r\n"),
	bad("9112 3.2.3: authority-form without CONNECT", "GET x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n"),
	bad("9112 3.2.4: the asterisk is OPTIONS' alone", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
	{name: "9112 3.2.4: OPTIONS * is no path of a service", send: "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", status: []int{404}, body: "*", unseen: []string{"OPTIONS"}},
	bad("9112 3.2: HTTP/1.1 without Host", "GET /a HTTP/1.1\r\n\r\n"),
	bad("9112 3.2: more than one Host", "GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
	bad("9112 3.2: a Host that is none", "GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n"),
	bad("9112 3.2: a Host with a user", "GET /a HTTP/1.1\r\nHost: u@x\r\n\r\n"),
	bad("9112 3.2: an empty Host beside an absolute target", "GET http://x/a HTTP/1.1\r\nHost:\r\n\r\n"),
	{name: "9112 3.2: Host goes first, and is passed on with its port", send: "GET /a HTTP/1.1\r\nX: y\r\nHost: x:8080\r\n\r\n", seen: []string{"GET /a HTTP/1.1\r\nHost: x:8080\r\n"}},
	{name: "9110 4.2.3, 7.2: Host without regard to case, passed on", send: "GET /a HTTP/1.1\r\nhOsT: X.Example\r\n\r\n", seen: []string{"\r\nHost: X.Example\r\n"}},
	bad("9110 4.1: a fragment is never sent", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
}

var framingRules = []rule{
	bad("9112 5.1: white space between name and colon", get+"X : y\r\n\r\n"),
	bad("9112 5.1: a tab between name and colon", get+"X\t: y\r\n\r\n"),
	bad("9112 5.1: white space behind Content-Length's name", post+"Content-Length : 3\r\n\r\nabc"),
	bad("9112 5.1: white space behind Transfer-Encoding's name", post+"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
	bad("9112 5.2: obs-fold", get+"X: y\r\n z\r\n\r\n"),
	bad("9112 5.2: obs-fold in Transfer-Encoding", post+"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
	bad("9110 5.1: a name is a token", get+"X[y]: z\r\n\r\n"),
	bad("9110 5.1: a name is not empty", get+": z\r\n\r\n"),
	bad("9110 5.5: NUL in a value", get+"X: a\x00b\r\n\r\n"),
	bad("9110 5.5: CR in a value", get+"X: a\rb\r\n\r\n"),
	{name: "9110 5.5: white space round a value is no part of it", send: get + "X:  \t a b \t \r\n\r\n", seen: []string{"\r\nX: a b\r\n"}},
	{name: "9110 5.5: obs-text is opaque and passed on", send: get + "X: \xe9\xff\r\n\r\n", seen: []string{"\r\nX: \xe9\xff\r\n"}},
	{name: "9110 5.1: unknown fields are passed on", send: get + "X-Whatever!#$: y\r\n\r\n", seen: []string{"\r\nX-Whatever!#$: y\r\n"}},
	{name: "9110 5.3: fields of one name keep their order", send: get + "X: 1\r\nY: 2\r\nX: 3\r\nx: 4\r\n\r\n", seen: []string{"\r\nX: 1\r\nY: 2\r\nX: 3\r\nx: 4\r\n"}},
	{name: "9110 5.5: an empty value is passed on", send: get + "X:\r\n\r\n", seen: []string{"\r\nX: \r\n"}},
	bad("9112 6.1: Transfer-Encoding beside Content-Length", post+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	bad("9112 6.1: chunked is applied once", post+"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
	bad("9112 6.3: chunked is last", post+"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
	bad("9112 6.1: an unknown coding", post+"Transfer-Encoding: frobnicate\r\n\r\n0\r\n\r\n"),
	bad("9112 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing", "POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	bad("9112 6.3: a length that is none", post+"Content-Length: 5x\r\n\r\nabcde"),
	bad("9112 6.3: differing lengths", post+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
	bad("9112 6.3: a list of differing lengths", post+"Content-Length: 5, 6\r\n\r\nabcdef"),
	bad("9110 8.6: a negative length", post+"Content-Length: -5\r\n\r\n"),
	bad("9110 8.6: a length that overflows", post+"Content-Length: 18446744073709551621\r\n\r\nabcde"),
	{name: "9110 8.6: zeros in front of a length", send: post + "Content-Length: 00003\r\n\r\nabc", seen: []string{"\r\nContent-Length: 3\r\n\r\nabc"}},
	{name: "9112 6.3: without either field there is no body", send: post + "\r\n", seen: []string{"\r\nContent-Length: 0\r\n"}},
	{name: "9112 6: a body has no meaning for GET, and is passed on", send: get + "Content-Length: 3\r\n\r\nabc", seen: []string{"\r\nContent-Length: 3\r\n\r\nabc"}},
	{name: "9112 6: a body of DELETE", send: "DELETE /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", seen: []string{"\r\n\r\nabc"}},
	{name: "9112 6: a body of OPTIONS", send: "OPTIONS /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", seen: []string{"\r\n\r\nabc"}},
	{name: "9112 7.1: chunked is parsed", send: post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n", seen: []string{"\r\nTransfer-Encoding: chunked\r\n", "\r\nabc\r\n", "\r\n0123456789\r\n", "0\r\n\r\n"}},
	{name: "9112 7: names of codings are without regard to case", send: post + "transfer-encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", seen: []string{"\r\nabc\r\n0\r\n\r\n"}},
	{name: "9112 7.1.1: unknown chunk extensions are ignored", send: post + "Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d;e\"\r\nabc\r\n0;f\r\n\r\n", seen: []string{"\r\nabc\r\n0\r\n\r\n"}, unseen: []string{"a=b"}},
	{name: "9112 7.1.2: trailers are passed on", send: post + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n", seen: []string{"\r\nTrailer: X-Sum\r\n", "\r\n0\r\nX-Sum: 7\r\n\r\n"}},
	{name: "9110 6.5.1: trailers that frame or route are not", send: post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 9\r\nHost: y\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n", seen: []string{"\r\nabc\r\n0\r\n\r\n"}, unseen: []string{"Host: y", "6.6.6.6"}},
	bad("9112 7.1: a size that is not hexadecimal", post+"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n").with(func(r *rule) { r.unseen = []string{"0\r\n\r\n"} }),
	bad("9112 7.1: a size that overflows", post+"Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n").with(func(r *rule) { r.unseen = []string{"0\r\n\r\n"} }),
	bad("9112 7.1: data that is longer than its size", post+"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n").with(func(r *rule) { r.unseen = []string{"def", "0\r\n\r\n"} }),
	{name: "9112 8: a body that is cut is never passed on as whole", send: post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", status: []int{}, closes: true, half: true, unseen: []string{"0\r\n\r\n"}},
}

// with edits a rule.
func (r rule) with(edit func(*rule)) rule {
	edit(&r)
	return r
}

var connectionRules = []rule{
	{name: "9112 9.3: HTTP/1.1 is kept alive", send: get + "\r\n"},
	{name: "9112 9.3: HTTP/1.0 is not", send: "GET /a HTTP/1.0\r\nHost: x\r\n\r\n", closes: true, heard: []string{"\r\nConnection: close\r\n"}},
	{name: "9112 9.3: HTTP/1.0 with keep-alive is, and told so", send: "GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", heard: []string{"\r\nConnection: keep-alive\r\n"}},
	{name: "9112 9.6: close is honoured, and said", send: get + "Connection: close\r\n\r\n", closes: true, heard: []string{"\r\nConnection: close\r\n"}},
	{name: "9112 9.6: close among other options", send: get + "Connection: foo, Close , bar\r\n\r\n", closes: true},
	{name: "9112 9.6: nothing behind close is processed", send: get + "Connection: close\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n", closes: true, unseen: []string{"/second"}},
	{name: "9112 9.3.2: pipelined requests are answered in order", send: "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: x\r\n\r\n", reply: "echo", status: []int{200, 200, 200}, body: "/3"},
	{name: "9112 9.3.2: a pipelined request behind a chunked one", send: post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n", reply: "echo", status: []int{200, 200}, body: "/3"},
	{name: "9112 9.3: the body of a refused request is no request", send: "POST * HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", status: []int{400}, body: "*", closes: true, unseen: []string{"smuggled"}},
	{name: "9112 9.3: a body that nobody read is read before the next request", send: "TRACE /a HTTP/1.1\r\nHost: x\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: xyz\r\n\r\n", status: []int{405}, body: "*", unseen: []string{"smuggled"}},
	{name: "9110 7.6.1: Connection is removed", send: get + "Connection: keep-alive\r\n\r\n", unseen: []string{"keep-alive"}},
	{name: "9110 7.6.1: what Connection names is removed", send: get + "Connection: X-One, x-two\r\nX-One: 1\r\nX-TWO: 2\r\nX-Three: 3\r\n\r\n", seen: []string{"X-Three: 3"}, unseen: []string{"X-One", "X-TWO", "x-two"}},
	{name: "9110 7.6.1: what Connection names behind it is removed", send: get + "X-One: 1\r\nConnection: X-One\r\n\r\n", unseen: []string{"X-One"}},
	{name: "9110 7.6.1: Keep-Alive is removed", send: get + "Keep-Alive: timeout=5\r\n\r\n", unseen: []string{"Keep-Alive"}},
	{name: "9110 7.6.1: Proxy-Connection is removed", send: get + "Proxy-Connection: keep-alive\r\n\r\n", unseen: []string{"Proxy-Connection"}},
	{name: "9110 7.6.1: TE is removed", send: get + "TE: gzip\r\nConnection: TE\r\n\r\n", unseen: []string{"gzip"}},
	{name: "9110 10.1.4: TE: trailers goes with Connection: TE", send: get + "TE: trailers\r\nConnection: TE\r\n\r\n", seen: []string{"\r\nTE: trailers\r\nConnection: TE\r\n"}},
	{name: "9110 7.6.1: Transfer-Encoding is this hop's", send: post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", seen: []string{"0\r\n\r\n"}},
	{name: "9110 11.7.1: Proxy-Authorization is not passed on", send: get + "Proxy-Authorization: Basic eDp5\r\n\r\n", unseen: []string{"eDp5"}},
	{name: "9110 7.8: Upgrade is not passed on without Connection", send: get + "Upgrade: websocket\r\n\r\n", unseen: []string{"pgrade"}},
	{name: "9110 7.8: Upgrade is not passed on by itself", send: get + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", unseen: []string{"pgrade", "Settings"}},
	{name: "9110 7.8: Upgrade in HTTP/1.0 is ignored", send: "GET /a HTTP/1.0\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", closes: true, unseen: []string{"pgrade"}},
	{name: "9110 7.8: 101 that nobody asked for", send: get + "\r\n", reply: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", status: []int{502}, body: "*"},
	{name: "9110 7.8: 101 to another protocol", send: get + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", reply: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", status: []int{502}, body: "*"},
	{name: "9110 10.1.1: Expect is answered by the target's 100, once", send: post + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", status: []int{100, 200}, seen: []string{"\r\nExpect: 100-continue\r\n", "\r\n\r\nabc"}},
	{name: "9110 10.1.1: Expect without regard to case", send: post + "expect: 100-CONTINUE\r\nContent-Length: 3\r\n\r\nabc", status: []int{100, 200}},
	{name: "9110 10.1.1: Expect of HTTP/1.0 is ignored", send: "POST /a HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", closes: true, unseen: []string{"Expect"}},
	{name: "9110 10.1.1: Expect without a body gets no 100", send: get + "Expect: 100-continue\r\n\r\n"},
	{name: "9110 10.1.1: a final answer instead of 100 closes, for the body may come or not", send: "TRACE /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 33\r\n\r\n", status: []int{405}, body: "*", closes: true},
	{name: "9110 15.2: interim answers are passed on", send: get + "\r\n", reply: "HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n" + okay + "Content-Length: 2\r\n\r\nok", status: []int{103, 200}, heard: []string{"\r\nLink: </s>\r\n"}},
	{name: "9110 15.2: a 100 too", send: get + "\r\n", reply: "HTTP/1.1 100 Continue\r\n\r\n" + okay + "Content-Length: 2\r\n\r\nok", status: []int{100, 200}},
	{name: "9110 15.2: unknown interim answers too", send: get + "\r\n", reply: "HTTP/1.1 199 What\r\nX: y\r\n\r\n" + okay + "Content-Length: 2\r\n\r\nok", status: []int{199, 200}},
	{name: "9110 15.2: but never to HTTP/1.0", send: "GET /a HTTP/1.0\r\nHost: x\r\n\r\n", reply: "HTTP/1.1 103 Early Hints\r\n\r\n" + okay + "Content-Length: 2\r\n\r\nok", closes: true},
}

var fieldRules = []rule{
	{name: "9110 7.6.3: Via is added to what is passed on", send: get + "\r\n", seen: []string{"\r\nVia: 1.1 gw.test\r\n"}},
	{name: "9110 7.6.3: Via says by which version the request came", send: "GET /a HTTP/1.0\r\nHost: x\r\n\r\n", closes: true, seen: []string{"\r\nVia: 1.0 gw.test\r\n", "GET /a HTTP/1.1\r\n"}},
	{name: "9110 7.6.3: Via of others stays, in front", send: get + "Via: 1.1 before\r\n\r\n", seen: []string{"\r\nVia: 1.1 before\r\n"}},
	{name: "9110 7.6.3, 7.3.2: a request that has been here is a loop", send: get + "Via: 1.1 a, 1.1 gw.test\r\n\r\n", status: []int{508}, body: "*", unseen: []string{"gw.test"}},
	{name: "9110 7.6.2: Max-Forwards is counted down", send: "OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 5\r\n\r\n", seen: []string{"\r\nMax-Forwards: 4\r\n"}},
	{name: "9110 7.6.2: at 0 it goes no further", send: "OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n", status: []int{204}, unseen: []string{"OPTIONS"}},
	{name: "9110 7.6.2: for other methods it is left alone", send: get + "Max-Forwards: 0\r\n\r\n", seen: []string{"\r\nMax-Forwards: 0\r\n"}},
	{name: "9110 7.6.2: TRACE with 0 is answered here", send: "TRACE /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n", status: []int{405}, body: "*", heard: []string{"\r\nAllow: "}, unseen: []string{"TRACE"}},
	{name: "9110 11.6.2: Authorization is passed on unchanged where nobody here asks for it", send: get + "Authorization: Digest a=\"b\", c=d\r\n\r\n", seen: []string{"\r\nAuthorization: Digest a=\"b\", c=d\r\n"}},
	{name: "9110 10.1.5: User-Agent is passed on", send: get + "User-Agent: a/1 (b) c/2\r\n\r\n", seen: []string{"\r\nUser-Agent: a/1 (b) c/2\r\n"}},
	{name: "9110 10.1.5: and none is made up", send: get + "\r\n", unseen: []string{"User-Agent"}},
	{name: "9110 7.7: nothing is transformed: Accept-Encoding", send: get + "Accept-Encoding: br;q=0.5\r\n\r\n", seen: []string{"\r\nAccept-Encoding: br;q=0.5\r\n"}, unseen: []string{"gzip"}},
	{name: "9110 13.1: conditions are passed on", send: get + "If-Match: \"a\"\r\nIf-None-Match: W/\"b\"\r\nIf-Range: \"c\"\r\nRange: bytes=0-1\r\n\r\n", seen: []string{"\r\nIf-Match: \"a\"\r\nIf-None-Match: W/\"b\"\r\nIf-Range: \"c\"\r\nRange: bytes=0-1\r\n"}},
	{name: "6265 5.4: cookies are passed on", send: get + "Cookie: a=b; c=d\r\n\r\n", seen: []string{"\r\nCookie: a=b; c=d\r\n"}},
	{name: "9112 2.3: the version is this hop's, on the way out", send: "GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", seen: []string{"GET /a HTTP/1.1\r\n"}},
	{name: "9112 2.3: and on the way back", send: get + "\r\n", reply: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", ends: true, heard: []string{"HTTP/1.1 200 OK\r\n"}},
}

var answerRules = []rule{
	{name: "9110 9.3.2: the answer to HEAD has no body, and the length of GET's", send: "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", reply: okay + "Content-Length: 5\r\n\r\n", heard: []string{"\r\nContent-Length: 5\r\n"}},
	{name: "9110 9.3.2: a chunked answer to HEAD has none either", send: "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n"},
	{name: "9110 9.3.2: a target that sends one to HEAD poisons nobody", send: "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", reply: okay + "Content-Length: 44\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", mute: []string{"poison"}},
	{name: "9110 15.4.5: 304 has no body, and may say a length", send: get + "\r\n", reply: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n", status: []int{304}, heard: []string{"\r\nETag: \"x\"\r\n"}},
	{name: "9110 15.3.5: 204 has no body and no length", send: get + "\r\n", reply: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", status: []int{204}, mute: []string{"Content-Length"}},
	{name: "9110 8.6: 1xx has no length", send: get + "\r\n", reply: "HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n" + okay + "Content-Length: 2\r\n\r\nok", status: []int{103, 200}, mute: []string{"Content-Length: 0"}},
	{name: "9112 6.1: chunked is taken off for HTTP/1.0", send: "GET /a HTTP/1.0\r\nHost: x\r\n\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", closes: true, mute: []string{"Transfer-Encoding", "chunked"}},
	{name: "9112 6.1: even where it would be kept alive", send: "GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", closes: true, mute: []string{"chunked", "keep-alive"}},
	{name: "9112 6.3: an answer until the close becomes chunked", send: get + "\r\n", reply: okay + "\r\nok", ends: true, heard: []string{"\r\nTransfer-Encoding: chunked\r\n"}},
	{name: "9112 6.3: or closes, for HTTP/1.0", send: "GET /a HTTP/1.0\r\nHost: x\r\n\r\n", reply: okay + "\r\nok", ends: true, closes: true},
	{name: "9112 7.1: chunked answers are passed on", send: get + "\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", heard: []string{"\r\nTransfer-Encoding: chunked\r\n"}, mute: []string{"x=y"}},
	{name: "9110 6.5: with their trailers", send: get + "TE: trailers\r\n\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\n\r\n", heard: []string{"0\r\nX-Sum: 7\r\n\r\n"}, mute: []string{"Content-Length: 3"}},
	{name: "9112 8: an answer that is cut does not end cleanly", send: get + "\r\n", reply: okay + "Content-Length: 5\r\n\r\nok", ends: true, cut: true},
	{name: "9112 8: a chunked one", send: get + "\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", ends: true, cut: true},
	{name: "9112 8: a chunked one within its trailers", send: get + "\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: ", ends: true, cut: true},
	{name: "9112 8: a chunked one that is malformed", send: get + "\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", cut: true},
	{name: "9112 8: a chunked one, for HTTP/1.0", send: "GET /a HTTP/1.0\r\nHost: x\r\n\r\n", reply: okay + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", ends: true, cut: true},
	badReply("9112 6.3: lengths that differ", okay+"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"),
	badReply("9112 6.3: a length that is none", okay+"Content-Length: x\r\n\r\nok"),
	badReply("9112 6.3: Transfer-Encoding beside Content-Length", okay+"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	badReply("9112 6.1: an unknown coding of an answer", okay+"Transfer-Encoding: frob, chunked\r\n\r\n0\r\n\r\n"),
	badReply("9112 5.1: white space before a colon in an answer", okay+"Content-Length : 2\r\n\r\nok"),
	badReply("9112 5.2: obs-fold in an answer", okay+"X: y\r\n z\r\nContent-Length: 2\r\n\r\nok"),
	badReply("9110 5.5: NUL in an answer", okay+"X: \x00\r\nContent-Length: 2\r\n\r\nok"),
	badReply("9112 4: no status line", "hello\r\n\r\n"),
	badReply("9110 15: a status that is none", "HTTP/1.1 099 What\r\nContent-Length: 2\r\n\r\nok"),
	badReply("9112 9.5: a close instead of an answer", " ").with(func(r *rule) { r.send, r.reply = post+"\r\n", "none" }),
	{name: "9110 7.6.1: Connection of an answer is removed, with what it names", send: get + "\r\n", reply: okay + "Content-Length: 2\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nX-End: 2\r\n\r\nok", ends: true, heard: []string{"\r\nX-End: 2\r\n"}, mute: []string{"X-Hop", "close"}},
	{name: "9110 7.6.1: Keep-Alive and Proxy-Connection of an answer", send: get + "\r\n", reply: okay + "Content-Length: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\r\nok", mute: []string{"Keep-Alive", "Proxy-Connection"}},
	{name: "9110 7.8: Upgrade of an answer is this hop's", send: get + "\r\n", reply: okay + "Content-Length: 2\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nok", mute: []string{"h2c"}},
	{name: "9110 6.6.1: Date is added where there is none", send: get + "\r\n", heard: []string{"\r\nDate: "}},
	{name: "9110 6.6.1: and left alone where there is one", send: get + "\r\n", reply: okay + "Content-Length: 2\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\nok", heard: []string{"\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n"}},
	{name: "9110 10.2.4: Server is left alone", send: get + "\r\n", reply: okay + "Content-Length: 2\r\nServer: a/1\r\n\r\nok", heard: []string{"\r\nServer: a/1\r\n"}},
	{name: "9110 11.6.1: challenges of the target are left alone", send: get + "\r\n", reply: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Basic realm=\"a\", Digest x=y\r\n\r\nok", status: []int{401}, heard: []string{"\r\nWWW-Authenticate: Basic realm=\"a\", Digest x=y\r\n"}},
	{name: "9110 5.3: Set-Cookie fields stay apart and in order", send: get + "\r\n", reply: okay + "Content-Length: 2\r\nSet-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2\r\n\r\nok", heard: []string{"\r\nSet-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2\r\n"}},
	{name: "9110 10.2.1: Allow is left alone", send: get + "\r\n", reply: "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 2\r\nAllow: BREW\r\n\r\nok", status: []int{405}, heard: []string{"\r\nAllow: BREW\r\n"}},
	{name: "9110 7.7: codings of the content are left alone", send: get + "\r\n", reply: okay + "Content-Length: 2\r\nContent-Encoding: gzip\r\nETag: \"x\"\r\n\r\nok", heard: []string{"\r\nContent-Encoding: gzip\r\nETag: \"x\"\r\n"}},
	{name: "9110 15: an unknown status is passed on", send: get + "\r\n", reply: "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok", status: []int{299}, heard: []string{"HTTP/1.1 299 Odd\r\n"}},
	{name: "9110 15.3.7: 206 is passed on", send: get + "\r\n", reply: "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nok", status: []int{206}, heard: []string{"\r\nContent-Range: bytes 0-1/5\r\n"}},
	{name: "9112 9.3: what follows an answer unasked is nobody's", send: get + "\r\n", reply: okay + "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", mute: []string{"poison"}},
}

func TestConformance(t *testing.T) {
	n := 0
	for _, list := range rules {
		n += len(list)
		for _, r := range list {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				r.check(t)
			})
		}
	}
	if n < 111 {
		t.Errorf("%d rules", n)
	}
}

// script is the target of a rule: it answers the probe always, and the rest as the
// rule says.
func (r *rule) script(_ int, s seen) answer {
	switch {
	case s.RequestURI == "/probe", r.reply == "":
		return ok("ok")
	case r.reply == "echo":
		return ok(s.RequestURI)
	case r.reply == "none":
		return answer{close: true}
	}
	return answer{raw: r.reply, close: r.ends}
}

func (r *rule) check(t *testing.T) {
	x := newTarget(t, r.script)
	g := start(t, x.addr())
	c := g.client()
	send := r.send
	if !r.closes && !r.cut {
		send += probe
	}
	c.send(send)
	if r.half {
		_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(4 * time.Second))
	b, err := io.ReadAll(c.r)
	raw := string(b)
	if r.cut == (err == nil) && !r.half {
		t.Errorf("the connection ended with %v", err)
	}
	r.answers(t, raw)
	for _, h := range r.heard {
		if !strings.Contains(raw, h) {
			t.Errorf("the client did not hear %q in\n%q", h, raw)
		}
	}
	own := raw
	if i := strings.LastIndex(raw, "HTTP/1.1 200 "); !r.closes && !r.cut && i >= 0 {
		own = raw[:i] // the rest is the probe's
	}
	for _, m := range r.mute {
		if strings.Contains(own, m) {
			t.Errorf("the client heard %q in\n%q", m, raw)
		}
	}
	r.target(t, x)
}

func (r *rule) answers(t *testing.T, raw string) {
	want := r.status
	if want == nil {
		want = []int{200}
	}
	if !r.closes && !r.cut {
		want = append(append([]int(nil), want...), 200)
	}
	method, _, _ := strings.Cut(strings.TrimLeft(r.send, "\r\n"), " ")
	br := bufio.NewReader(strings.NewReader(raw))
	for i, status := range want {
		last := i == len(want)-1
		m := method
		if last && i > 0 {
			m = "GET"
		}
		if last && r.cut && raw == "" {
			return
		}
		res, err := http.ReadResponse(br, &http.Request{Method: m})
		if err != nil {
			t.Errorf("answer %d: %v in\n%q", i, err, raw)
			return
		}
		body, err := io.ReadAll(res.Body)
		// Until the close, only how the connection ends tells a cut body.
		if cut := last && r.cut; res.StatusCode != status || (err != nil) != cut && (res.ContentLength >= 0 || len(res.TransferEncoding) > 0) {
			t.Errorf("answer %d: %s %q %v", i, res.Status, body, err)
		}
		expect := "ok"
		if r.body != "" && last == r.closes {
			expect = r.body
		}
		if r.reply == "echo" && i < len(want)-2 || expect == "*" || last && r.cut || status < 200 || status == 204 || status == 304 || m == "HEAD" {
			continue
		}
		if string(body) != expect {
			t.Errorf("answer %d has the body %q, want %q", i, body, expect)
		}
	}
	if n, _ := br.Peek(1); len(n) > 0 {
		rest, _ := io.ReadAll(br)
		t.Errorf("more was heard: %q", rest)
	}
}

func (r *rule) target(t *testing.T, x *target) {
	raw := ""
	for _, b := range x.bytes() {
		if i := strings.Index(b, "GET /probe"); i >= 0 {
			b = b[:i]
		}
		raw += b
	}
	for _, s := range r.seen {
		if !strings.Contains(raw, s) {
			t.Errorf("the target did not see %q in\n%q", s, raw)
		}
	}
	for _, s := range r.unseen {
		if strings.Contains(raw, s) {
			t.Errorf("the target saw %q in\n%q", s, raw)
		}
	}
}
