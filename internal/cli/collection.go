package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/cli/client"
)

// collection is a kind of object and how its table looks.
type collection struct {
	kind    string // in paths
	one     string // in sentences
	key     string // the field that names an object
	columns []column
}

type column struct{ heading, field string }

var (
	users = collection{"users", "user", "username", []column{{"USERNAME", "username"}, {"KIND", "kind"}, {"ACTIVE", "active"},
		{"NAME", "displayName"}, {"GROUPS", "groups"}, {"ROLES", "roles"}, {"EXPIRES", "expiresAt"}}}
	groups = collection{"groups", "group", "name", []column{{"NAME", "name"}, {"ROLES", "roles"}, {"DESCRIPTION", "description"}}}
	roles  = collection{"roles", "role", "name", []column{{"NAME", "name"}, {"PERMISSIONS", "permissions"}, {"DESCRIPTION", "description"}}}
	routes = collection{"routes", "route", "name", []column{{"NAME", "name"}, {"HOSTS", "hosts"}, {"PATHS", "paths"}, {"METHODS", "methods"},
		{"SERVICE", "service"}, {"ACCESS", "access"}, {"MODE", "mode"}}}
	services = collection{"services", "service", "name", []column{{"NAME", "name"}, {"TARGETS", "targets"}, {"PROTOCOL", "protocol"},
		{"BALANCE", "balance"}, {"CALLER", "callerCredential"}}}
	providers = collection{"identityProviders", "provider", "name", []column{{"NAME", "name"}, {"TYPE", "type"}, {"ENABLED", "enabled"},
		{"ISSUER", "issuer"}, {"PROVISION", "provision"}, {"ROLES", "roles"}}}
	administrators = collection{"administrators", "administrator", "name", []column{{"NAME", "name"}, {"ROLES", "roles"}, {"ACTIVE", "active"},
		{"CREATED", "createdAt"}}}
)

// page is one page of a list.
type page struct {
	Items      []json.RawMessage `json:"items"`
	NextCursor string            `json:"nextCursor"`
}

// paging are the flags of every list.
type paging struct {
	Limit int  `placeholder:"N" default:"100" help:"Show at most this many (${default})."`
	All   bool `help:"Show all."`
}

// list reads page after page until there is enough.
func (r *run) list(ctx context.Context, c *client.Client, path string, q url.Values, p paging) (items []json.RawMessage, more bool, err error) {
	items = []json.RawMessage{}
	if p.Limit < 1 {
		return nil, false, &usageError{"--limit is 1 or more", "Use --all for all."}
	}
	for {
		ask := 1000
		if !p.All {
			ask = min(1000, p.Limit-len(items))
		}
		q.Set("limit", strconv.Itoa(ask))
		var got page
		if err := c.Do(ctx, client.Call{Method: "GET", Path: path, Query: q}, &got); err != nil {
			return nil, false, err
		}
		items = append(items, got.Items...)
		full := !p.All && len(items) >= p.Limit
		if got.NextCursor == "" || full || got.NextCursor == q.Get("cursor") {
			return items, full && got.NextCursor != "", nil
		}
		q.Set("cursor", got.NextCursor)
	}
}

// printList writes a list in the wanted form.
func (r *run) printList(items []json.RawMessage, more bool, columns []column) error {
	if r.format() != formatTable {
		return r.print(items)
	}
	heading := make([]string, len(columns))
	for i, c := range columns {
		heading[i] = c.heading
	}
	rows := make([][]string, len(items))
	for i, raw := range items {
		var o map[string]any
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		for _, c := range columns {
			rows[i] = append(rows[i], summary(c.field, o[c.field]))
		}
	}
	if err := r.table(heading, rows); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(r.err, "There are more: use --limit N or --all.")
	}
	return nil
}

// summary is a field as a table shows it: objects by what tells them apart.
func summary(field string, v any) string {
	list, ok := v.([]any)
	if !ok {
		return cell(v)
	}
	var parts []string
	for _, x := range list {
		o, ok := x.(map[string]any)
		switch {
		case !ok:
			parts = append(parts, cell(x))
		case field == "targets":
			parts = append(parts, cell(o["url"]))
		case field == "permissions":
			parts = append(parts, strings.TrimSpace(cell(o["methods"])+" "+cell(o["routes"])+" "+cell(o["paths"])))
		default:
			parts = append(parts, cell(x))
		}
	}
	sep := ","
	if field == "permissions" {
		sep = "; "
	}
	return strings.Join(parts, sep)
}

// The verbs that are the same for every collection. of is set by the collection's
// own commands.
type listCommand struct {
	paging
	Filter string `placeholder:"EXPR" help:"Such as: kind eq \"person\" and active eq \"true\"."`
	Sort   string `placeholder:"FIELD" help:"Sort by a field, with - in front for descending."`
}

func (l *listCommand) in(ctx context.Context, r *run, of collection) error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	q := url.Values{}
	if l.Filter != "" {
		q.Set("filter", l.Filter)
	}
	if l.Sort != "" {
		q.Set("sort", l.Sort)
	}
	items, more, err := r.list(ctx, c, client.Path("v2", of.kind), q, l.paging)
	if err != nil {
		return err
	}
	return r.printList(items, more, of.columns)
}

type getCommand struct {
	Name string `arg:"" help:"Its name."`
}

func (g *getCommand) in(ctx context.Context, r *run, of collection) error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	var o json.RawMessage
	if err := c.Do(ctx, client.Call{Method: "GET", Path: client.Path("v2", of.kind, g.Name)}, &o); err != nil {
		return err
	}
	return r.print(o)
}

// change are the flags of every change.
type change struct {
	DryRun bool   `help:"Show what would change, and change nothing."`
	Reason string `placeholder:"TEXT" help:"Why, for the audit log."`
}

func (c *change) query() url.Values {
	if c.DryRun {
		return url.Values{"dryRun": {"true"}}
	}
	return nil
}

type deleteCommand struct {
	Name []string `arg:"" help:"Names."`
	change
}

func (d *deleteCommand) in(ctx context.Context, r *run, of collection) error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	for _, name := range d.Name {
		call := client.Call{Method: "DELETE", Path: client.Path("v2", of.kind, name), Query: d.query(), Reason: d.Reason}
		if err := r.write(ctx, c, call, d.DryRun, fmt.Sprintf("%s %s deleted.", of.one, name)); err != nil {
			return err
		}
	}
	return nil
}

// write sends a change and says what came of it: done, for people, or what
// would change.
func (r *run) write(ctx context.Context, c *client.Client, call client.Call, dryRun bool, done string) error {
	var out json.RawMessage
	if err := c.Do(ctx, call, &out); err != nil {
		return err
	}
	if dryRun {
		return r.printOutcome(out, true)
	}
	if r.format() == formatTable || len(out) == 0 {
		fmt.Fprintln(r.out, printable(strings.ToUpper(done[:1])+done[1:]))
		return nil
	}
	return r.print(out)
}
