package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that runs beside the measurement.
type process struct {
	name   string
	cmd    *exec.Cmd
	worker int // whose CPU time counts; nginx has a master beside it
	log    string
	exited chan struct{}
}

// program finds a program, also where only root has it in the path.
func program(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	if p := filepath.Join("/usr/sbin", name); exec.Command(p, "-v").Run() == nil {
		return p, nil
	}
	return "", fmt.Errorf("%s is not installed: scripts/bench installs it", name)
}

// launch starts a program on a core; cpu below 0 leaves it on the load's.
func launch(cpu int, env []string, log, path string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	name := filepath.Base(path)
	if cpu >= 0 {
		args = append([]string{"-c", strconv.Itoa(cpu), path}, args...)
		path = "taskset"
	}
	p := &process{name: name, cmd: exec.Command(path, args...), log: log, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.worker = p.cmd.Process.Pid
	go func() { _ = p.cmd.Wait(); close(p.exited) }()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// answers waits until something listens at the address.
func (p *process) answers(address string, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close()
		}
		if !p.running() || time.Now().After(end) {
			b, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s does not listen at %s: %w\n%s", p.name, address, err, b[max(0, len(b)-2000):])
		}
	}
}

// stop ends the program, whatever it does.
func (p *process) stop() {
	if p == nil || !p.running() {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// child is the only child of a process: nginx's worker.
func child(pid int) (int, error) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			return 0, err
		}
		if f := strings.Fields(string(b)); len(f) == 1 {
			return strconv.Atoi(f[0])
		}
	}
	return 0, fmt.Errorf("process %d has not one worker", pid)
}

// hertz is the unit of /proc/PID/stat's times; Linux says 100 to all programs.
const hertz = 100

// cpu is the CPU time of all threads of the worker since its start.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.worker))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, errors.New("/proc/PID/stat is not as expected")
	}
	user, err := strconv.ParseInt(f[11], 10, 64)
	system, serr := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * (time.Second / hertz), errors.Join(err, serr)
}

// rss is the worker's resident memory in bytes.
func (p *process) rss() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.worker))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("/proc/PID/status does not tell VmRSS")
}

// freePort is a port that nothing listens on, below the range from which the
// kernel gives ports to clients.
func freePort(taken map[int]bool) (int, error) {
	for p := 20000; p < 32000; p++ {
		if taken[p] {
			continue
		}
		taken[p] = true
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p)); err == nil {
			return p, l.Close()
		}
	}
	return 0, errors.New("no free port")
}
