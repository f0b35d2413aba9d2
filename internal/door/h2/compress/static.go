package compress

import "github.com/sallyport/sallyport/internal/model"

// known are the names of the static table that answers have (RFC 7541, appendix
// A), by their length.
var known = [...][]struct {
	name  string
	index int
}{
	3:  {{"age", 21}, {"via", 60}},
	4:  {{"date", 33}, {"etag", 34}, {"vary", 59}, {"link", 45}},
	5:  {{"allow", 22}},
	6:  {{"server", 54}},
	7:  {{"expires", 36}, {"refresh", 52}},
	8:  {{"location", 46}},
	10: {{"set-cookie", 55}},
	11: {{"retry-after", 53}},
	12: {{"content-type", 31}},
	13: {{"cache-control", 24}, {"content-range", 30}, {"last-modified", 44}, {"accept-ranges", 18}},
	14: {{"content-length", 28}},
	16: {{"content-encoding", 26}, {"content-language", 27}, {"content-location", 29}, {"www-authenticate", 61}},
	19: {{"content-disposition", 25}},
	25: {{"strict-transport-security", 56}},
	27: {{"access-control-allow-origin", 20}},
}

// static is a name's index in the static table, 0 where it has none that answers need.
func static(name string) int {
	if len(name) >= len(known) {
		return 0
	}
	for _, k := range known[len(name)] {
		if model.EqualFold(k.name, name) {
			return k.index
		}
	}
	return 0
}
