package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// fetchEvery is the shortest time between two fetches of one key set, so
	// that a flood of made-up kids is a trickle at the other end.
	fetchEvery = 10 * time.Second
	// firstEvery is the same before there are any keys.
	firstEvery = 2 * time.Second
	// keysServe is how long keys serve that can no longer be fetched. A key that
	// was withdrawn must not live on because its set cannot be reached.
	keysServe = 24 * time.Hour
	// A set is fetched again as its Cache-Control says, within these.
	refreshMost, refreshLeast, refreshUsual = 6 * time.Hour, time.Minute, time.Hour

	fetchTimeout = 10 * time.Second
	keySetBytes  = 1 << 20
)

// remote is a key set at a URL. One fetch runs at a time; known keys serve
// meanwhile, and while fetching fails.
type remote struct {
	url    string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	keys    keyList
	fetched time.Time     // when keys were last confirmed
	refresh time.Time     // when they are due again
	tried   time.Time     // when a fetch last began
	fault   error         // of the last fetch
	running chan struct{} // closed when the running fetch ends; nil = none
}

func (s *remote) find(ctx context.Context, kid string) ([]publicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	stale := s.keys != nil && now.Sub(s.fetched) > keysServe
	if found, _ := s.keys.find(ctx, kid); len(found) > 0 && !stale {
		if now.After(s.refresh) {
			s.start(now)
		}
		return found, nil
	}
	s.start(now)
	if running := s.running; running != nil {
		s.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if found, _ := s.keys.find(ctx, kid); len(found) > 0 && now.Sub(s.fetched) <= keysServe {
			return found, nil
		}
	}
	// An unknown key is the caller's fault only if the set is known to be fresh.
	return nil, s.fault
}

// start begins a fetch unless one runs, or ran a moment ago. s.mu is held.
func (s *remote) start(now time.Time) {
	pause := fetchEvery
	if s.keys == nil {
		pause = firstEvery
	}
	if s.running != nil || !s.tried.IsZero() && now.Sub(s.tried) < pause && now.Sub(s.tried) >= 0 {
		return
	}
	s.tried = now
	done := make(chan struct{})
	s.running = done
	go func() {
		// Not under any request's context: whoever waits may leave.
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		keys, life, err := s.fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		defer close(done)
		s.running, s.fault = nil, err
		if err != nil {
			s.log.Warn("verify: the keys cannot be fetched; known ones go on serving", "url", s.url, "error", err)
			return
		}
		s.keys, s.fetched, s.refresh = keys, s.now(), s.now().Add(life)
	}()
}

func (s *remote) fetch(ctx context.Context) (keyList, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the key set is answered with %s", res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, keySetBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if len(text) > keySetBytes {
		return nil, 0, errors.New("the key set is larger than 1 MiB")
	}
	keys, err := parseKeySet(text)
	return keys, life(res.Header.Get("Cache-Control")), err
}

// life is the max-age of a Cache-Control, within reason.
func life(control string) time.Duration {
	for _, d := range strings.Split(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if n, err := strconv.ParseInt(value, 10, 32); err == nil {
			return min(max(time.Duration(n)*time.Second, refreshLeast), refreshMost)
		}
	}
	return refreshUsual
}
