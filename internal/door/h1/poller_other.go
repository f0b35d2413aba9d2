//go:build !linux

package h1

import "syscall"

// poller is for Linux alone; elsewhere connections do not sleep.
type poller struct{}

func newPoller() *poller                          { return nil }
func (*poller) add(syscall.RawConn, uint64) error { return syscall.ENOSYS }
func (*poller) remove(syscall.RawConn)            {}
func (*poller) run(func(uint64))                  {}
func (*poller) close()                            {}
