//go:build !linux

package listen

import "net"

func boundUnsent(net.Conn) {}
