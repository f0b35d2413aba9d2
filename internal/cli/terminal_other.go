//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package cli

import (
	"errors"
	"io"
	"os"
)

func isTerminal(*os.File) bool { return false }

func askPassword(*os.File, io.Writer, string) (string, error) {
	return "", errors.New("there is no terminal to ask on")
}
