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

type sessionCommands struct {
	List   sessionList   `cmd:"" help:"List the sessions that run."`
	Get    sessionGet    `cmd:"" help:"Show one session."`
	Delete sessionDelete `cmd:"" help:"End sessions, and what they have open, at once."`
}

var sessionColumns = []column{{"ID", "id"}, {"USER", "user"}, {"PROVIDER", "provider"}, {"BEGAN", "createdAt"}, {"LAST USED", "lastSeenAt"},
	{"ENDS BY", "expiresAt"}, {"FROM", "clientIP"}}

func sessionPath(more ...string) string {
	return client.Path(append([]string{"v2", "sessions"}, more...)...)
}

type sessionList struct {
	Owner    string `name:"of" placeholder:"USER" help:"Those of one user."`
	Provider string `placeholder:"PROVIDER" help:"Those that one provider vouched for."`
	paging
}

// Run lists sessions.
func (c *sessionList) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	var terms []string
	if c.Owner != "" {
		terms = append(terms, "user eq "+strconv.Quote(c.Owner))
	}
	if c.Provider != "" {
		terms = append(terms, "provider eq "+strconv.Quote(c.Provider))
	}
	q := url.Values{}
	if len(terms) > 0 {
		q.Set("filter", strings.Join(terms, " and "))
	}
	items, more, err := r.list(ctx, api, sessionPath(), q, c.paging)
	if err != nil {
		return err
	}
	return r.printList(items, more, sessionColumns)
}

type sessionGet struct {
	ID string `arg:"" help:"The session's id."`
}

// Run shows a session.
func (c *sessionGet) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	var o json.RawMessage
	if err := api.Do(ctx, client.Call{Method: "GET", Path: sessionPath(c.ID)}, &o); err != nil {
		return err
	}
	return r.print(o)
}

type sessionDelete struct {
	ID     []string `arg:"" help:"The sessions' ids."`
	Reason string   `placeholder:"TEXT" help:"Why, for the audit log."`
}

// Run ends sessions.
func (c *sessionDelete) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	for _, id := range c.ID {
		if err := api.Do(ctx, client.Call{Method: "DELETE", Path: sessionPath(id), Reason: c.Reason}, nil); err != nil {
			return err
		}
		fmt.Fprintf(r.err, "Ended the session %s.\n", printable(id))
	}
	return nil
}
