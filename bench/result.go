package main

import (
	"fmt"
	"math"
	"slices"
)

// The contestants. The base is what stands beside the gateway in a row: nginx's
// plain proxy_pass, or the gateway itself at other work.
const (
	base     = "base"
	own      = "gateway"
	standard = "standard"
	rival    = "rival" // another build, to see what a change brings
	nginx    = "nginx"
	haproxy  = "haproxy"
)

// result is one line of a table: one quantity, by contestant and round.
type result struct {
	ID      string
	Section string
	Title   string
	Unit    string // of all values
	Beside  string // what the base is
	Entries []entry
	Asked   *bound `json:",omitempty"`
	Note    string `json:",omitempty"`
}

// entry is what one contestant reached, round by round.
type entry struct {
	Who    string
	Values []float64
	Void   string `json:",omitempty"` // why it does not count
}

// bound is what the gateway must reach: at most a multiple of something measured
// in the same rounds, or at most so many units.
type bound struct {
	Factor float64 `json:",omitempty"`
	Of     string  `json:",omitempty"` // base, nginx, haproxy, or peers: the better of both
	Units  float64 `json:",omitempty"`
}

func (r *result) find(who string) *entry {
	for i := range r.Entries {
		if r.Entries[i].Who == who && r.Entries[i].Void == "" && len(r.Entries[i].Values) > 0 {
			return &r.Entries[i]
		}
	}
	return nil
}

func (r *result) add(who string, values ...float64) {
	for i := range r.Entries {
		if r.Entries[i].Who == who {
			r.Entries[i].Values = append(r.Entries[i].Values, values...)
			return
		}
	}
	r.Entries = append(r.Entries, entry{Who: who, Values: values})
}

func (r *result) void(who string, why error) {
	r.add(who)
	for i := range r.Entries {
		if r.Entries[i].Who == who {
			r.Entries[i].Void = why.Error()
		}
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// ratio is the median of the ratios of the rounds: what one round had in common
// falls out of it.
func (r *result) ratio(who, of string) (float64, bool) {
	e := r.find(who)
	if e == nil {
		return 0, false
	}
	below := r.reference(of)
	n := min(len(e.Values), len(below))
	if n == 0 {
		return 0, false
	}
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = e.Values[i] / below[i]
	}
	return median(ratios), true
}

// reference are the values of rounds that a bound speaks of.
func (r *result) reference(of string) []float64 {
	if of != "peers" {
		if e := r.find(of); e != nil {
			return e.Values
		}
		return nil
	}
	n, h := r.find(nginx), r.find(haproxy)
	switch {
	case n == nil && h == nil:
		return nil
	case n == nil:
		return h.Values
	case h == nil:
		return n.Values
	case median(n.Values) <= median(h.Values):
		return n.Values
	}
	return h.Values
}

// reached tells how far the gateway is: its multiple or its units, and whether
// that is within the bound; "" where it was not measured.
func (r *result) reached() string {
	if r.Asked == nil {
		return ""
	}
	e := r.find(own)
	if e == nil {
		return ""
	}
	got, limit, text := median(e.Values), r.Asked.Units, format(median(e.Values), r.Unit)
	if r.Asked.Of != "" {
		ratio, ok := r.ratio(own, r.Asked.Of)
		if !ok {
			return ""
		}
		got, limit, text = ratio, r.Asked.Factor, fmt.Sprintf("%.2f ×", ratio)
	}
	if got <= limit {
		return "yes: " + text
	}
	return "**no**: " + text
}

func (b *bound) text(unit, beside string) string {
	if b == nil {
		return ""
	}
	switch b.Of {
	case "":
		return "≤ " + format(b.Units, unit)
	case base:
		return fmt.Sprintf("≤ %.4g × %s", b.Factor, beside)
	case "peers":
		return fmt.Sprintf("≤ %.4g × the better of nginx and HAProxy", b.Factor)
	case haproxy:
		return fmt.Sprintf("≤ %.4g × HAProxy", b.Factor)
	}
	return fmt.Sprintf("≤ %.4g × nginx", b.Factor)
}

// format writes a value with three significant digits.
func format(v float64, unit string) string {
	digits := 0
	if v != 0 && math.Abs(v) < 100 {
		digits = 2 - int(math.Floor(math.Log10(math.Abs(v))))
	}
	return fmt.Sprintf("%.*f %s", max(0, min(digits, 3)), v, unit)
}
