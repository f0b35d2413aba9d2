package audit

import (
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

const (
	repeatWithin = time.Second
	maxRepeats   = 1024 // kinds of event watched at one time
)

// repeatKey is what makes two security events alike.
type repeatKey struct {
	outcome, step, reason, user, credential, route, clientIP string
	code                                                     model.Code
}

type repeat struct {
	since time.Time
	count int64
	last  model.Event
}

// repeats holds back security events that are like one written within the last
// second, so that whoever forges headers cannot flood the log. Their number is
// written when the second is over.
type repeats struct {
	mu   sync.Mutex
	seen map[repeatKey]*repeat
}

// swallow says whether e is a repetition, and counts it.
func (r *repeats) swallow(e *model.Event, now time.Time) bool {
	if e.Count > 0 {
		return false
	}
	k := repeatKey{outcome: e.Outcome, step: e.Step, reason: e.Reason, user: e.User, credential: e.Credential,
		route: e.Route, clientIP: e.ClientIP, code: e.Code}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.seen[k]; ok && now.Sub(s.since) < repeatWithin {
		s.count++
		if s.count == 1 {
			s.last = cloneTexts(e)
		}
		return true
	}
	if len(r.seen) >= maxRepeats {
		return false // written each by itself: rather too much than too little
	}
	if r.seen == nil {
		r.seen = map[repeatKey]*repeat{}
	}
	kept := k
	for _, s := range []*string{&kept.outcome, &kept.step, &kept.reason, &kept.user, &kept.credential, &kept.route, &kept.clientIP} {
		*s = strings.Clone(*s) // the event's texts may be views into a request
	}
	delete(r.seen, k)
	r.seen[kept] = &repeat{since: now}
	return false
}

// due takes out the repetitions whose second is over; all of them at the zero time.
func (r *repeats) due(now time.Time) (events []model.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, s := range r.seen {
		if !now.IsZero() && now.Sub(s.since) < repeatWithin {
			continue
		}
		if s.count > 0 {
			e := s.last
			e.Count = s.count
			events = append(events, e)
		}
		delete(r.seen, k)
	}
	return events
}

func (l *Log) flushRepeats(now time.Time) {
	for _, e := range l.repeats.due(now) {
		_, _ = l.append(&e) // a failure shows in Healthy
	}
}

// cloneTexts copies an event whose texts may not outlive their request. The
// request's own fields are left out, for they are the first one's alone.
func cloneTexts(e *model.Event) model.Event {
	c := model.Event{Type: e.Type, Outcome: e.Outcome, Step: e.Step, Code: e.Code, Reason: e.Reason, User: e.User,
		Credential: e.Credential, Provider: e.Provider, Service: e.Service, Route: e.Route, ClientIP: e.ClientIP, Revision: e.Revision}
	for _, s := range []*string{&c.Outcome, &c.Step, &c.Reason, &c.User, &c.Credential, &c.Provider, &c.Service, &c.Route, &c.ClientIP} {
		*s = strings.Clone(*s)
	}
	return c
}
