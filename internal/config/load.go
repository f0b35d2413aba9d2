package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// maxSecret bounds a file that ${file:PATH} names.
const maxSecret = 1 << 20

// Load reads and judges the boot file. Where there are faults, the Config is not
// to be used.
func Load(path string) (*Config, model.Faults) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, model.Faults{{File: path, Message: unreadable(err)}}
	}
	return Parse(data, path)
}

// Parse reads the boot file's text; path is where it is, or would be.
func Parse(data []byte, path string) (*Config, model.Faults) {
	n, faults := strict.YAML(data, path)
	if n == nil {
		return nil, faults
	}
	faults = append(faults, Expand(n, path)...)
	c := &Config{File: path}
	faults = append(faults, n.Into(c)...)
	return c, append(faults, n.Locate(without(c.validate(), faults))...)
}

// without leaves out faults of meaning in parts that could not even be read: a
// default stands there, of which nobody wrote anything.
func without(found, earlier model.Faults) model.Faults {
	var out model.Faults
	for _, f := range found {
		covered := false
		for _, e := range earlier {
			covered = covered || e.Path != "" && (f.Path == e.Path || strings.HasPrefix(f.Path, e.Path+".") || strings.HasPrefix(f.Path, e.Path+"["))
		}
		if !covered {
			out = append(out, f)
		}
	}
	return out
}

// Expand resolves the references in a document that lies in file.
func Expand(n *strict.Node, file string) model.Faults { return n.Expand(lookup(file)) }

// lookup resolves references; paths are relative to the file that holds them.
func lookup(file string) func(kind, name string) (string, error) {
	return func(kind, name string) (string, error) {
		if kind == "env" {
			v, ok := os.LookupEnv(name)
			if !ok {
				return "", errors.New("the environment has no such variable")
			}
			return v, nil
		}
		path := resolve(file, name)
		info, err := os.Stat(path)
		if err != nil {
			return "", errors.New(unreadable(err))
		}
		if !info.Mode().IsRegular() || info.Size() > maxSecret {
			return "", fmt.Errorf("it is not a file of at most %s", model.Size(maxSecret))
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return "", errors.New(unreadable(err))
		}
		if !utf8.Valid(b) {
			return "", errors.New("it is not UTF-8 text")
		}
		return string(b), nil
	}
}

// unreadable says why a file cannot be read, without repeating its path.
func unreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read by this user"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return "cannot be read: " + p.Err.Error()
	}
	return "cannot be read: " + err.Error()
}
