package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport/sallyport/internal/secret"
)

type hashCommand struct {
	Bcrypt int `placeholder:"COST" help:"Make a bcrypt hash of this cost instead of argon2id."`
}

// Run prints the hash of a password from the terminal or standard input.
func (c *hashCommand) Run(ctx context.Context, r *run) error {
	password, err := r.newPassword("Password to hash")
	if err != nil {
		return err
	}
	var hash string
	if c.Bcrypt != 0 {
		hash, err = secret.Bcrypt(password, c.Bcrypt)
	} else {
		hash, err = secret.NewHasher(secret.Options{}).Hash(ctx, password)
	}
	if err != nil {
		return fmt.Errorf("hashing the password: %w", err)
	}
	if r.format() == formatTable {
		fmt.Fprintln(r.out, hash)
		return nil
	}
	return r.print(map[string]string{"hash": hash})
}

// newPassword asks twice on a terminal, and else reads the first line of
// standard input. It is never taken from an argument, which every process can see.
func (r *run) newPassword(what string) (string, error) {
	if r.password == nil {
		p, err := readLine(r.in)
		if err == nil && p == "" {
			return "", &usageError{"there is no password on standard input", ""}
		}
		return p, err
	}
	first, err := r.password(what + ": ")
	if err != nil {
		return "", err
	}
	again, err := r.password("Once more: ")
	switch {
	case err != nil:
		return "", err
	case first != again:
		return "", errors.New("the two passwords differ")
	case first == "":
		return "", errors.New("the password is empty")
	}
	return first, nil
}

// readLine reads up to the first line feed and no byte further.
func readLine(in io.Reader) (string, error) {
	var b []byte
	one := make([]byte, 1)
	for len(b) < 4096 {
		n, err := in.Read(one)
		if n == 1 {
			if one[0] == '\n' {
				break
			}
			b = append(b, one[0])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return strings.TrimSuffix(string(b), "\r"), nil
}
