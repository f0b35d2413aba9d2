package model

import (
	"fmt"
	"net/netip"
	"strconv"
)

// ParsePrefix reads a CIDR, or a single address as the prefix that holds only it.
// IPv4-mapped IPv6 is unmapped, so that one network has one spelling.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32", s)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q reaches beyond the IPv4-mapped range; write the IPv4 network", s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// Prefixes are networks, compiled once and asked often.
type Prefixes []netip.Prefix

// ParsePrefixes reads all; entries that do not parse become faults at path.
func ParsePrefixes(list []string, path string) (ps Prefixes, f Faults) {
	for i, s := range list {
		p, err := ParsePrefix(s)
		if err != nil {
			f.Add(index(path, i), err.Error())
			continue
		}
		ps = append(ps, p)
	}
	return ps, f
}

// Contains says whether a lies in one of the networks. Nothing contains the zero address.
func (ps Prefixes) Contains(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
