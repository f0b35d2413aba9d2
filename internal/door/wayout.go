package door

import (
	"net/http"
	"strconv"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// LastStop counts the Max-Forwards of OPTIONS down, and says whether the request goes
// no further (RFC 9110, 7.6.2). TRACE, the other method that has it, is not served.
func LastStop(ex *gate.Exchange) bool {
	if ex.Method != http.MethodOptions {
		return false
	}
	for i := range ex.Fields {
		f := &ex.Fields[i]
		if f.Dropped || !model.EqualFold(f.Name, "Max-Forwards") {
			continue
		}
		n, err := strconv.ParseUint(f.Value, 10, 63)
		switch {
		case err != nil: // not a number: passed on as it is
		case n == 0:
			return true
		default:
			f.Value = strconv.FormatUint(n-1, 10)
		}
	}
	return false
}

// HashKey is what balance: hash goes by: who calls, else from where. It is "" where
// the service is balanced otherwise.
func HashKey(ex *gate.Exchange) string {
	if ex.Route.Service.Balance != model.HashBalance {
		return ""
	}
	if u := ex.Username(); u != "" {
		return u
	}
	return ex.IP()
}

// AppendHead writes the head of a request to an HTTP/1.1 target behind b, up to what
// frames its body. own is the target's host; trailers says that the client reads them.
func AppendHead(b []byte, ex *gate.Exchange, own string, trailers bool) []byte {
	b = append(b, ex.Method...)
	b = append(b, ' ')
	b = append(b, ex.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if ex.Route.Service.Host == model.HostPreserve {
		b = append(b, ex.Host...)
	} else {
		b = append(b, own...)
	}
	b = append(b, "\r\n"...)
	for i := range ex.Fields {
		if f := &ex.Fields[i]; !f.Dropped {
			b = AppendField(b, f.Name, f.Value)
		}
	}
	for i := range ex.Add {
		b = AppendField(b, ex.Add[i].Name, ex.Add[i].Value)
	}
	if trailers {
		b = append(b, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	return b
}

// AppendField writes a field behind b, as a line of HTTP/1.1.
func AppendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// AppendLength writes how long the body is: where there is none, for methods that
// usually have one alone (RFC 9110, 8.6).
func AppendLength(b []byte, method string, n int64) []byte {
	if n == 0 && method != http.MethodPost && method != http.MethodPut && method != http.MethodPatch {
		return b
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}
