package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	// scanBytes bounds the work of one query. A page may hold fewer events than
	// were asked for, even none, and still name the next.
	scanBytes = 512 << 20
	// skew is by how much an event's own time may differ from its place in the
	// log: a request's time is its beginning.
	skew = 10 * time.Minute
	// lookAhead is how far behind a page's newest decision its completion is
	// looked for.
	lookAhead = 4 << 20
)

// Query selects events. Empty fields are not asked for.
type Query struct {
	Type, Outcome, Code, User, Route, RequestID string
	Since, Until                                time.Time // Since <= time < Until
	Filter                                      string    // field eq "value" and …
	Joined                                      bool      // decision and completion of a request as one event
	Limit                                       int       // 1 to 1000; 0 = 100
	Cursor                                      string    // opaque, from the page before
}

// Page is a part of the answer, newest event first.
type Page struct {
	Items      []model.Event `json:"items"`
	NextCursor string        `json:"nextCursor,omitempty"`
}

// position is a place in the log: all lines before it are older.
type position struct {
	first  uint64
	offset int64
}

func (p position) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(p.first, 10) + "." + strconv.FormatInt(p.offset, 10)))
}

func parsePosition(s string) (p position, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	first, offset, ok := strings.Cut(string(b), ".")
	if err == nil && ok {
		p.first, err = strconv.ParseUint(first, 10, 64)
	}
	if err == nil && ok {
		p.offset, err = strconv.ParseInt(offset, 10, 64)
	}
	if err != nil || !ok || p.offset < 0 {
		return p, invalid("cursor", "is not a cursor that a page named")
	}
	return p, nil
}

// search is one query at work.
type search struct {
	q          Query
	conditions []condition // on whole events
	prefilter  []condition // on lines
	join       *join
	budget     int64
	page       Page
}

// Query answers a page of events, newest first. A query that cannot be read is
// an *model.Error with the code invalid.
func (l *Log) Query(ctx context.Context, q Query) (Page, error) {
	s, err := newSearch(q)
	if err != nil {
		return Page{}, err
	}
	spans, err := l.spans()
	if err != nil {
		return Page{}, unavailable(err)
	}
	if q.Cursor != "" {
		p, err := parsePosition(q.Cursor)
		if err != nil {
			return Page{}, err
		}
		if spans, err = s.resume(ctx, spans, p); err != nil {
			return Page{}, err
		}
	}
	for i := len(spans) - 1; i >= 0; i-- {
		done, err := s.segment(ctx, &spans[i])
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		if err != nil {
			return Page{}, err
		}
		if done {
			break
		}
	}
	return s.page, nil
}

func newSearch(q Query) (*search, error) {
	if q.Limit < 0 || q.Limit > maxLimit {
		return nil, invalid("limit", "is 1 to 1000")
	}
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	// Events are kept to the microsecond.
	q.Since, q.Until = q.Since.Truncate(time.Microsecond), q.Until.Truncate(time.Microsecond)
	s := &search{q: q, budget: scanBytes, page: Page{Items: []model.Event{}}}
	var err error
	if s.conditions, err = parseFilter(q.Filter); err != nil {
		return nil, err
	}
	for _, c := range s.conditions { // a filter's lower bound of time ends the search too
		if c.field == "time" && (c.op == "ge" || c.op == "gt" || c.op == "eq") && c.time.After(s.q.Since) {
			s.q.Since = c.time.Truncate(time.Microsecond)
		}
	}
	for _, f := range []struct{ field, value string }{{"type", q.Type}, {"outcome", q.Outcome}, {"code", q.Code},
		{"user", q.User}, {"route", q.Route}, {"requestId", q.RequestID}} {
		if f.value != "" {
			c, _ := newCondition(f.field, "eq", f.value)
			s.conditions = append(s.conditions, c)
		}
	}
	s.prefilter = s.conditions
	if q.Joined {
		s.join, s.prefilter = newJoin(), nil
		for _, c := range s.conditions {
			if decided(c.field) {
				s.prefilter = append(s.prefilter, c)
			}
		}
	}
	return s, nil
}

// resume drops what is newer than p, after a look at it for completions.
func (s *search) resume(ctx context.Context, spans []span, p position) ([]span, error) {
	for len(spans) > 0 && spans[len(spans)-1].first > p.first {
		spans = spans[:len(spans)-1]
	}
	if len(spans) == 0 || spans[len(spans)-1].first != p.first {
		return spans, nil // its segment was pruned, hence everything older too
	}
	last := &spans[len(spans)-1]
	f, err := last.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if s.join != nil {
		err = forward(ctx, f, p.offset, min(last.end, p.offset+lookAhead), func(line []byte, _ int64) error {
			s.join.hold(line)
			return nil
		})
	}
	last.end = min(last.end, p.offset)
	return spans, err
}

// segment searches one segment from its end; true once the page is done.
func (s *search) segment(ctx context.Context, sp *span) (bool, error) {
	f, err := sp.open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := backward{r: f, at: sp.end}
	for n := 0; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		line, at, err := b.next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		older, full := s.line(line)
		if older {
			return true, nil
		}
		if s.budget -= int64(len(line)) + 1; full || s.budget < 0 {
			s.page.NextCursor = position{sp.first, at}.String()
			return true, nil
		}
	}
}

// line takes in one line: older says that all before it are too old, full that
// the page is.
func (s *search) line(line []byte) (older, full bool) {
	if s.join != nil && s.join.hold(line) {
		return false, false
	}
	if !possible(s.prefilter, line) {
		if s.join != nil {
			s.join.drop(line)
		}
		return false, false
	}
	e, ok := decode(line)
	if !ok {
		return false, false
	}
	if !s.q.Since.IsZero() && e.Time.Before(s.q.Since) {
		return e.Time.Before(s.q.Since.Add(-skew)), false
	}
	if s.join != nil {
		s.join.complete(&e)
	}
	if !s.q.Until.IsZero() && !e.Time.Before(s.q.Until) || !meets(s.conditions, &e) {
		return false, false
	}
	s.page.Items = append(s.page.Items, e)
	return false, len(s.page.Items) == s.q.Limit
}
