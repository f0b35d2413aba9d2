//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// event is an audit event, by the names of its members in the segments.
type event struct {
	ID, Node, Type, Part, Outcome, Step, Code, Reason, RequestID, Actor string

	Time                                                               time.Time
	Seq                                                                uint64
	User, Credential, Provider, Service, Route, Rule, Method, Path, IP string
	ClientIP, UserAgent                                                string
	Status                                                             int
	BytesIn, BytesOut                                                  int64
	DurationMs                                                         float64
	Revision                                                           int64
}

// events reads the audit segments as they lie on disk: no API is asked, for these
// files are the evidence.
func (g *gateway) events(t testing.TB) (out []event) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(g.dir, "data", "audit", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit segments: %v", err)
	}
	slices.Sort(files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(bytes.TrimRight(b, "\x00"), []byte{'\n'}) {
			if line = bytes.Trim(line, "\x00"); len(line) == 0 {
				continue
			}
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %v: %s", f, err, line)
			}
			out = append(out, e)
		}
	}
	return out
}

// eventsOf are the events of one request; it waits until the completion is there.
func (g *gateway) eventsOf(t testing.TB, requestID string) (decision, completion event) {
	t.Helper()
	until(t, 5*time.Second, "both parts of "+requestID+" are in the audit segment", func() bool {
		for _, e := range g.events(t) {
			if e.RequestID == requestID && e.Type == "access" {
				if e.Part == "completion" {
					completion = e
				} else {
					decision = e
				}
			}
		}
		return decision.ID != "" && completion.Part != ""
	})
	return decision, completion
}
