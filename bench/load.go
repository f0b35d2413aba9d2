package main

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The requests that wrk makes where one GET again and again is not what is meant.
var (
	//go:embed lua/rotate.lua
	rotateLua string
	//go:embed lua/post.lua
	postLua string
)

// work is what a load does to a proxy.
type work struct {
	url     string
	header  []string // "Name: value"
	refused []string // headers that must be answered 401; nil = nothing can be refused here
	conns   int
	script  string // for wrk, with its arguments
	args    []string
	least   int // requests that warm it up: each of a list once
	bytes   int // of the answer's body; 0 = the usual
	upload  int // bytes of the request's body
	streams int // at once on each HTTP/2 connection; 0 = HTTP/1.1
}

// ask sends one request and answers its status and the length of its body.
func ask(ctx context.Context, client *http.Client, url string, header http.Header) (status, length int, err error) {
	return send(ctx, client, http.MethodGet, url, nil, header)
}

func send(ctx context.Context, client *http.Client, method, url string, body io.Reader, header http.Header) (status, length int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, 0, err
	}
	for n, v := range header {
		req.Header[n] = v
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	n, err := io.Copy(io.Discard, res.Body)
	return res.StatusCode, int(n), errors.Join(err, res.Body.Close())
}

// trusting is a client that keeps nothing and believes every certificate: it
// measures on this machine alone.
func trusting() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // see above
}

func headers(lines []string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		if name, value, ok := strings.Cut(l, ": "); ok {
			h.Set(name, value)
		}
	}
	return h
}

// check asks once with the right credential and once with a wrong one: only a
// proxy that tells them apart is measured.
func (w *work) check(ctx context.Context) error {
	client := trusting()
	method, want := http.MethodGet, answerLength
	var body io.Reader
	if w.upload > 0 {
		method, body = http.MethodPost, strings.NewReader(strings.Repeat("x", w.upload))
	}
	if w.bytes > 0 {
		want = w.bytes
	}
	status, n, err := send(ctx, client, method, w.url, body, headers(w.header))
	if err != nil || status != http.StatusOK || n != want {
		return fmt.Errorf("%s answers %d with %d bytes, not 200 with %d (%v)", w.url, status, n, want, err)
	}
	if w.refused == nil {
		return nil
	}
	if status, _, err = ask(ctx, client, w.url, headers(w.refused)); err != nil || status != http.StatusUnauthorized {
		return fmt.Errorf("%s answers a wrong credential %d, not 401 (%v)", w.url, status, err)
	}
	return nil
}

// run loads the proxy for a while and answers how many requests were completed.
func (w *work) run(ctx context.Context, span time.Duration) (int64, error) {
	if w.streams > 0 {
		return w.h2load(ctx, span)
	}
	return w.wrk(ctx, span)
}

var (
	wrkDone    = regexp.MustCompile(`(\d+) requests in `)
	wrkRefused = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkErrors  = regexp.MustCompile(`Socket errors: (.*)`)
)

func (w *work) wrk(ctx context.Context, span time.Duration) (int64, error) {
	// wrk counts whole seconds; SIGINT ends it early and it still reports.
	args := []string{"-t1", "-c" + strconv.Itoa(w.conns), "-d" + strconv.Itoa(max(1, int(span.Seconds()+0.5))) + "s", "--timeout", "20s"}
	for _, h := range w.header {
		args = append(args, "-H", h)
	}
	if w.script != "" {
		args = append(args, "-s", w.script)
	}
	args = append(append(args, w.url), w.args...)
	out, err := exec.CommandContext(ctx, "wrk", args...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	for _, bad := range []*regexp.Regexp{wrkRefused, wrkErrors} {
		if m := bad.FindSubmatch(out); m != nil {
			return 0, fmt.Errorf("wrk at %s: %s", w.url, m[0])
		}
	}
	return number(wrkDone, out)
}

var (
	h2Done   = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done`)
	h2Status = regexp.MustCompile(`status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
	h2Failed = regexp.MustCompile(`(\d+) failed, (\d+) errored, (\d+) timeout`)
)

func (w *work) h2load(ctx context.Context, span time.Duration) (int64, error) {
	args := []string{"-c" + strconv.Itoa(w.conns), "-m" + strconv.Itoa(w.streams), "-t1", "-D", strconv.Itoa(max(1, int(span.Seconds()+0.5)))}
	for _, h := range w.header {
		args = append(args, "-H", h)
	}
	out, err := exec.CommandContext(ctx, "h2load", append(args, w.url)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("h2load: %w\n%s", err, out)
	}
	if m := h2Status.FindSubmatch(out); m == nil || string(m[2]) != "0" || string(m[3]) != "0" || string(m[4]) != "0" {
		return 0, fmt.Errorf("h2load at %s:\n%s", w.url, out)
	}
	if m := h2Failed.FindSubmatch(out); m == nil || string(m[2]) != "0" || string(m[3]) != "0" {
		return 0, fmt.Errorf("h2load at %s:\n%s", w.url, out)
	}
	return number(h2Done, out)
}

func number(re *regexp.Regexp, out []byte) (int64, error) {
	m := re.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("the load generator said nothing of its requests:\n%s", out)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err == nil && n == 0 {
		err = errors.New("no request was completed")
	}
	return n, err
}

// rotate is wrk sending the requests of a list in turn: each line a path, and a
// header's value behind a tab.
func (l *lab) rotate(name, header string, requests []string) (script string, args []string, err error) {
	list := filepath.Join(l.dir, name+".list")
	if script, err = l.lua("rotate.lua", rotateLua); err != nil {
		return "", nil, err
	}
	return script, []string{list, header}, os.WriteFile(list, []byte(strings.Join(requests, "\n")+"\n"), 0o600)
}

func (l *lab) lua(name, text string) (string, error) {
	path := filepath.Join(l.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
