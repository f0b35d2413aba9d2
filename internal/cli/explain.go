package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/cli/client"
	"github.com/sallyport/sallyport/internal/model"
)

type explainCommand struct {
	Method   string   `arg:"" help:"Such as GET."`
	URL      string   `arg:"" help:"A path, or a whole URL."`
	As       string   `placeholder:"USERNAME" help:"Take the request to be this user's; else its headers are judged."`
	Header   []string `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Headers of the request."`
	ClientIP string   `name:"client-ip" placeholder:"ADDRESS" help:"Where it comes from."`
}

// Run explains a request.
func (c *explainCommand) Run(ctx context.Context, r *run) error {
	headers := map[string]string{}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return &usageError{fmt.Sprintf("%q is not a header", h), "Write -H 'X-API-Key: sp_…'."}
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if before, twice := headers[name]; twice {
			value = before + ", " + value
		}
		headers[name] = value
	}
	body := object{"method": strings.ToUpper(c.Method), "url": c.URL}
	if len(headers) > 0 {
		body["headers"] = headers
	}
	if c.As != "" {
		body["user"] = c.As
	}
	if c.ClientIP != "" {
		body["clientIP"] = c.ClientIP
	}
	api, err := r.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := api.Do(ctx, client.Call{Method: "POST", Path: "/v2/explain", Body: body}, &raw); err != nil {
		return err
	}
	if r.format() != formatTable {
		return r.print(raw)
	}
	var d model.Decision
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	return r.printDecision(&d)
}

func (r *run) printDecision(d *model.Decision) error {
	fmt.Fprintf(r.out, "%s: %d %s\n", strings.ToUpper(d.Outcome), d.Status, d.Code)
	fmt.Fprintf(r.out, "Route %s, user %s, revision %d.\n\n", or(printable(d.Route), "none"), or(printable(d.User), "none"), d.Revision)
	rows := make([][]string, len(d.Steps))
	for i, s := range d.Steps {
		rows[i] = []string{s.Step, s.Outcome, s.Detail}
	}
	if err := r.table([]string{"STEP", "OUTCOME", "DETAIL"}, rows); err != nil {
		return err
	}
	if d.Remedy != "" {
		fmt.Fprintf(r.out, "\n%s\n", printable(d.Remedy))
	}
	return nil
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
