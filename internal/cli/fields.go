package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/cli/client"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// object is an object as it is sent: only the fields that somebody named.
type object map[string]any

// text, list and flag note a flag that was given. A list that is given as "" is empty.
func (o object) text(field string, v *string) {
	if v != nil {
		o[field] = *v
	}
}

func (o object) list(field string, v []string) {
	if v == nil {
		return
	}
	given := []string{}
	for _, s := range v {
		if s != "" {
			given = append(given, s)
		}
	}
	o[field] = given
}

func (o object) flag(field string, v *string) {
	if v != nil {
		o[field] = *v == "true"
	}
}

// moment notes a time that was given as people write it.
func (o object) moment(field string, v *string) error {
	if v == nil {
		return nil
	}
	t, err := when(*v, time.Now())
	if err == nil {
		o[field] = t
	}
	return err
}

// source are the flags by which create and update take fields from elsewhere.
type source struct {
	File string   `short:"f" placeholder:"FILE" help:"Take fields from a YAML or JSON file; - is standard input."`
	Set  []string `sep:"none" placeholder:"FIELD=VALUE" help:"Set a field, such as timeouts.response=5s; the value is YAML."`
}

// fields are those of the file, then the flags', then --set's: the later wins.
func (s *source) fields(r *run, flags object) (object, error) {
	o := object{}
	if s.File != "" {
		n, faults := r.readObject(s.File)
		if len(faults) > 0 {
			return nil, faults
		}
		b, err := n.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &o); err != nil {
			return nil, fmt.Errorf("%s holds no object", s.File)
		}
	}
	for k, v := range flags {
		o[k] = v
	}
	for _, text := range s.Set {
		if err := o.set(text); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (r *run) readObject(file string) (*strict.Node, model.Faults) {
	var data []byte
	var err error
	base := file
	if file == config.Stdin {
		data, err = readAll(r.in)
		base = ""
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, model.Faults{{File: file, Message: err.Error()}}
	}
	n, faults := strict.YAML(data, file)
	if n == nil {
		return nil, faults
	}
	return n, append(faults, config.Expand(n, base)...)
}

// set reads FIELD=VALUE; dots lead into objects.
func (o object) set(text string) error {
	path, value, ok := strings.Cut(text, "=")
	if !ok || path == "" {
		return &usageError{fmt.Sprintf("--set %q is not FIELD=VALUE", text), "Write --set retries=2 or --set 'hosts=[a.example.com]'."}
	}
	n, faults := strict.YAML([]byte("v: "+value), "--set "+path)
	if len(faults) > 0 {
		return &usageError{fmt.Sprintf("--set %s: the value is not YAML: %s", path, faults[0].Message), "Quote text that holds special signs: --set 'name=\"a: b\"'."}
	}
	at := map[string]any(o)
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := at[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			at[name] = inner
		}
		at = inner
	}
	at[names[len(names)-1]] = n.Field("v").Any()
	return nil
}

// create sends a new object.
func (r *run) create(ctx context.Context, of collection, name string, o object, c change) error {
	o[of.key] = name
	api, err := r.connect()
	if err != nil {
		return err
	}
	call := client.Call{Method: "POST", Path: client.Path("v2", of.kind), Query: c.query(), Reason: c.Reason, Body: o}
	err = r.write(ctx, api, call, c.DryRun, fmt.Sprintf("%s %s created.", of.one, name))
	var p *client.Problem
	if errors.As(err, &p) && p.Code == model.Conflict && api.Do(ctx, client.Call{Method: "GET", Path: client.Path("v2", of.kind, name)}, nil) == nil {
		return &advised{err, fmt.Sprintf("Use sallyport %s update to change what exists already.", of.one)}
	}
	return err
}

// advised is a refusal with what to do about it, where the text does not say it
// and its code alone does not tell: a conflict has many causes.
type advised struct {
	error
	remedy string
}

func (a *advised) Unwrap() error  { return a.error }
func (a *advised) Remedy() string { return a.remedy }

// update changes the fields that were named, and leaves the others alone.
func (r *run) update(ctx context.Context, of collection, name string, o object, c change) error {
	if len(o) == 0 {
		return &usageError{"nothing is to be changed", "Name fields by flags, --set or -f."}
	}
	api, err := r.connect()
	if err != nil {
		return err
	}
	call := client.Call{Method: "PATCH", Path: client.Path("v2", of.kind, name), Query: c.query(), Reason: c.Reason, Body: o}
	return r.write(ctx, api, call, c.DryRun, fmt.Sprintf("%s %s updated.", of.one, name))
}
