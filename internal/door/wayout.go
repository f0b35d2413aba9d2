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
