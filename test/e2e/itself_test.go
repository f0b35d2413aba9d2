//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestMain is where the test's own program becomes what a test has told it to be.
func TestMain(m *testing.M) {
	var err error
	switch order := os.Getenv(inCrowd); {
	case order != "":
		err = crowd(order)
	case os.Getenv(areBystanders) != "":
		err = bystanders()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// itself is the test's own program, told by a variable to be something else. It does
// not outlive the test's.
func itself(t testing.TB, order string) (cmd *exec.Cmd, in io.WriteCloser) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), order)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return cmd, in
}
