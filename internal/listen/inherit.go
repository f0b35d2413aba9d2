package listen

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
)

// Inheritance is sockets that were open before this process: systemd's socket
// activation (LISTEN_PID, LISTEN_FDS), or a process that hands over to us.
type Inheritance struct {
	mu   sync.Mutex
	left []net.Listener
}

// Inherit takes up the sockets that the environment promises to process pid; with
// none promised it is empty.
func Inherit(getenv func(string) string, pid int) (*Inheritance, error) {
	in := &Inheritance{}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n <= 0 {
		return in, nil
	}
	if p := getenv("LISTEN_PID"); p != strconv.Itoa(pid) {
		return in, nil // meant for another process
	}
	const first = 3
	for fd := first; fd < first+n; fd++ {
		f := os.NewFile(uintptr(fd), "inherited-"+strconv.Itoa(fd))
		ln, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			in.Close()
			return nil, fmt.Errorf("inherited descriptor %d is no listening socket: %w", fd, err)
		}
		in.left = append(in.left, ln)
	}
	return in, nil
}

// take gives the inherited socket of an address, if there is one.
func (in *Inheritance) take(address string) net.Listener {
	if in == nil {
		return nil
	}
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for i, ln := range in.left {
		have, err := netip.ParseAddrPort(ln.Addr().String())
		if err != nil || int(have.Port()) != want.Port {
			continue
		}
		ip, _ := netip.AddrFromSlice(want.IP)
		if ip = ip.Unmap(); ip == have.Addr().Unmap() || (!ip.IsValid() || ip.IsUnspecified()) && have.Addr().IsUnspecified() {
			in.left = append(in.left[:i], in.left[i+1:]...)
			return ln
		}
	}
	return nil
}

// Close lets go of the sockets that no listener took.
func (in *Inheritance) Close() {
	if in == nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, ln := range in.left {
		_ = ln.Close()
	}
	in.left = nil
}
