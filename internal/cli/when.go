package cli

import (
	"strconv"
	"strings"
	"time"
)

// when reads a point in time to come: a time, a date (its beginning, in UTC), a
// while from now, or never, which is nil.
func when(s string, now time.Time) (*time.Time, error) {
	if s == "never" || s == "" {
		return nil, nil
	}
	t, ok := moment(s)
	if !ok {
		d, isWhile := while(s)
		if !isWhile {
			return nil, &usageError{strconv.Quote(s) + " is no time", "Write 2027-01-31T12:00:00Z, 2027-01-31, 30d, 12h or never."}
		}
		t = now.Add(d).UTC().Truncate(time.Second)
	}
	return &t, nil
}

// since reads a point in time that is over: as when, but a while counts back.
func since(s string, now time.Time) (time.Time, error) {
	if t, ok := moment(s); ok {
		return t, nil
	}
	if d, ok := while(s); ok {
		return now.Add(-d).UTC(), nil
	}
	return time.Time{}, &usageError{strconv.Quote(s) + " is no time", "Write 2027-01-31T12:00:00Z, 2027-01-31, or a while ago: 15m, 12h, 7d."}
}

func moment(s string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func while(s string) (time.Duration, bool) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.Atoi(n)
		return time.Duration(days) * 24 * time.Hour, err == nil && days >= 0 && days < 100_000
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}
