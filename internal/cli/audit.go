package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/cli/client"
	"github.com/sallyport/sallyport/internal/model"
)

type auditCommands struct {
	List   auditList   `cmd:"" help:"List events, newest first."`
	Follow auditFollow `cmd:"" help:"Print events as they happen, until interrupted."`
}

// selection are the flags that say which events.
type selection struct {
	Type    string `placeholder:"TYPE" help:"access, login, admin, provisioning or security."`
	Outcome string `placeholder:"OUTCOME" help:"allowed, denied or error."`
	Code    string `placeholder:"CODE" help:"Such as permission_denied."`
	Caller  string `placeholder:"USERNAME" help:"Whose requests."`
	Route   string `placeholder:"ROUTE" help:"Requests of a route."`
	Request string `placeholder:"ID" help:"All about one request."`
	Filter  string `placeholder:"EXPR" help:"Such as: status ge 500 and path sw \"/1.0/\"."`
}

func (s *selection) conditions() []string {
	var all []string
	for _, c := range []struct{ field, value string }{{"type", s.Type}, {"outcome", s.Outcome}, {"code", s.Code}, {"user", s.Caller},
		{"route", s.Route}, {"requestId", s.Request}} {
		if c.value != "" {
			all = append(all, c.field+" eq "+quoted(c.value))
		}
	}
	if s.Filter != "" {
		all = append(all, s.Filter)
	}
	return all
}

// quoted is s as a filter's value.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

type auditList struct {
	selection
	Since string `placeholder:"WHEN" help:"A time, a date, or a while ago: 1h."`
	Until string `placeholder:"WHEN" help:"Likewise."`
	paging
}

var eventColumns = []column{{"TIME", "time"}, {"TYPE", "type"}, {"OUTCOME", "outcome"}, {"CODE", "code"}, {"USER", "user"},
	{"ROUTE", "route"}, {"METHOD", "method"}, {"PATH", "path"}, {"STATUS", "status"}, {"CLIENT", "clientIP"}, {"REQUEST", "requestId"},
	{"REASON", "reason"}} // what no caller is told: the last column, for it may be long

// Run lists events.
func (c *auditList) Run(ctx context.Context, r *run) error {
	conditions := c.conditions()
	for _, b := range []struct{ text, op string }{{c.Since, "ge"}, {c.Until, "lt"}} {
		if b.text == "" {
			continue
		}
		t, err := since(b.text, time.Now())
		if err != nil {
			return err
		}
		conditions = append(conditions, "time "+b.op+" "+quoted(t.UTC().Format(time.RFC3339Nano)))
	}
	api, err := r.connect()
	if err != nil {
		return err
	}
	q := url.Values{}
	if len(conditions) > 0 {
		q.Set("filter", strings.Join(conditions, " and "))
	}
	items, more, err := r.list(ctx, api, "/v2/auditEvents", q, c.paging)
	if err != nil {
		return err
	}
	return r.printList(items, more, eventColumns)
}

type auditFollow struct{ selection }

// Run prints events as they happen: a line for people, or JSON lines.
func (c *auditFollow) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	q := url.Values{"follow": {"true"}}
	if conditions := c.conditions(); len(conditions) > 0 {
		q.Set("filter", strings.Join(conditions, " and "))
	}
	body, err := api.Open(ctx, client.Call{Method: "GET", Path: "/v2/auditEvents", Query: q})
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			if err := r.printEvent(line); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil // interrupted, as one ends it
		case errors.Is(err, io.EOF):
			return errors.New("the gateway ended the stream")
		case err != nil:
			return fmt.Errorf("following: %w", err)
		}
	}
}

func (r *run) printEvent(line []byte) error {
	switch r.format() {
	case formatJSON:
		_, err := r.out.Write(line)
		return err
	case formatYAML:
		fmt.Fprintln(r.out, "---")
		return r.print(json.RawMessage(line))
	}
	var e model.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("the gateway sent what is not an event: %w", err)
	}
	what := []string{e.Time.Format("15:04:05.000"), string(e.Type), e.Outcome, string(e.Code), or(e.User, e.Actor)}
	if e.Method != "" {
		what = append(what, e.Method, e.Path)
	}
	if e.Status != 0 {
		what = append(what, strconv.Itoa(e.Status))
	}
	for _, ch := range e.Changes {
		what = append(what, ch.Action+" "+ch.Kind+"/"+ch.Name)
	}
	what = append(what, e.Reason, e.RequestID)
	what = nonempty(what)
	_, err := fmt.Fprintln(r.out, printable(strings.Join(what, " ")))
	return err
}

func nonempty(list []string) []string {
	out := list[:0]
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
