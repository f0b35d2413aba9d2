package strict

import (
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
)

func (d *decoder) scalar(v reflect.Value, n *Node, path string) {
	switch v.Kind() {
	case reflect.String:
		if n.kind != String {
			hint := "text is expected here"
			if n.plain {
				hint += "; write it in quotes" // without the value, which may be a password
			}
			d.wrong(n, path, hint)
			return
		}
		v.SetString(strings.Clone(n.text)) // a view would keep the whole document in memory
	case reflect.Bool:
		switch {
		case n.kind == Bool, n.expanded && (n.text == "true" || n.text == "false"):
			v.SetBool(n.text == "true")
		case n.kind == String:
			d.wrong(n, path, "true or false is expected here, without quotes")
		default:
			d.wrong(n, path, "true or false is expected here")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if !d.number(n, path) {
			return
		}
		i, err := strconv.ParseInt(n.text, 10, v.Type().Bits())
		if err != nil {
			d.add(path, n.line, "is not a whole number between "+strconv.FormatInt(math.MinInt64>>(64-v.Type().Bits()), 10)+
				" and "+strconv.FormatInt(math.MaxInt64>>(64-v.Type().Bits()), 10))
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if !d.number(n, path) {
			return
		}
		i, err := strconv.ParseUint(n.text, 10, v.Type().Bits())
		if err != nil {
			d.add(path, n.line, "is not a whole number between 0 and "+strconv.FormatUint(math.MaxUint64>>(64-v.Type().Bits()), 10))
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		if !d.number(n, path) {
			return
		}
		f, err := strconv.ParseFloat(n.text, v.Type().Bits())
		if err != nil {
			d.add(path, n.line, "is a number beyond what can be kept")
			return
		}
		v.SetFloat(f)
	default:
		d.wrong(n, path, "it cannot be read here")
	}
}

// number says whether n is one, as it stands or by a reference's text.
func (d *decoder) number(n *Node, path string) bool {
	switch {
	case n.kind == Number:
		return true
	case n.expanded && n.text != "" && numberLength(n.text) == len(n.text):
		return true
	case n.kind == String:
		d.wrong(n, path, "a number is expected here, without quotes")
	default:
		d.wrong(n, path, "a number is expected here")
	}
	return false
}

// float is the number as float64, and whether that is the number written: every
// digit of a whole number, and no more than float64's own rounding otherwise.
func float(text string) (f float64, exact bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return f, false
	}
	if strings.ContainsAny(text, ".eE") || math.Abs(f) < 1<<53 {
		return f, true
	}
	whole, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return f, false
	}
	back, _ := new(big.Float).SetFloat64(f).Int(nil)
	return f, whole.Cmp(back) == 0
}
