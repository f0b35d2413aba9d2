package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Config is a boot file that holds together. Paths in it are absolute, or
// relative to the working directory; they were relative to the boot file.
type Config struct {
	ExternalURL    string         `json:"externalURL"`
	DataDir        string         `json:"dataDir"`
	Listeners      []Listener     `json:"listeners"`
	TrustedProxies []string       `json:"trustedProxies"`
	Store          string         `json:"store"`
	MaxStale       model.Duration `json:"maxStale"` // 0 = for ever
	Resources      []string       `json:"resources"`
	Limits         Limits         `json:"limits"`
	Log            Log            `json:"log"`

	File      string         `json:"-"` // the boot file
	Engine    string         `json:"-"` // of HTTP/1.1: "" or own, or standard; the command line says, no file does
	External  *url.URL       `json:"-"` // of ExternalURL
	Trusted   model.Prefixes `json:"-"` // of TrustedProxies
	StorePath string         `json:"-"` // of the SQLite database
}

// Defaults sets what a left-out field means. externalURL, if it is left out, is
// https://localhost with the port of the first listener that serves the proxy.
func (c *Config) Defaults() {
	c.DataDir, c.Store, c.MaxStale = "data", "sqlite", model.Duration(time.Hour)
}

// Resolve is path as the boot file means it: relative to its folder.
func (c *Config) Resolve(path string) string { return resolve(c.File, path) }

func resolve(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// What a listener may serve.
const (
	ServeProxy    = "proxy"
	ServeRedirect = "redirect" // to https
	ServeAdmin    = "admin"    // REST and console
	ServeMetrics  = "metrics"
)

var served = []string{ServeProxy, ServeRedirect, ServeAdmin, ServeMetrics}

// Listener is an address and what is served there.
type Listener struct {
	Address        string   `json:"address"` // host:port; port 0 = any that is free
	Serve          []string `json:"serve"`
	TLS            *TLS     `json:"tls"` // nil = plain HTTP
	AllowPlaintext bool     `json:"allowPlaintext"`
}

// Serves says whether what is served here.
func (l *Listener) Serves(what string) bool { return slices.Contains(l.Serve, what) }

// Loopback says whether only this machine can reach the listener.
func (l *Listener) Loopback() bool { return loopback(l.Address) }

// TLS is how a listener ends TLS: with certificates, or with one of its own making.
type TLS struct {
	Certificates []Pair `json:"certificates"` // chosen by SNI; the first where none fits
	SelfSigned   bool   `json:"selfSigned"`
	ClientCA     string `json:"clientCA"`  // PEM; "" = clients are not asked for certificates
	ClientCRL    string `json:"clientCRL"` // PEM or DER
	MinVersion   string `json:"minVersion"`
}

// Defaults sets what a left-out field means.
func (t *TLS) Defaults() { t.MinVersion = "1.2" }

// Pair is a certificate chain and its key: PEM files, read again when they change.
type Pair struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// Limits bound what one client may take.
type Limits struct {
	HeaderBytes   model.Size     `json:"headerBytes"`
	BodyBytes     model.Size     `json:"bodyBytes"` // 0 = no limit; a route may say otherwise
	HeaderTimeout model.Duration `json:"headerTimeout"`
	IdleTimeout   model.Duration `json:"idleTimeout"`
	Connections   int            `json:"connections"`
}

// Defaults sets what a left-out field means.
func (l *Limits) Defaults() {
	*l = Limits{HeaderBytes: 32 << 10, BodyBytes: 10 << 20, HeaderTimeout: model.Duration(10 * time.Second),
		IdleTimeout: model.Duration(90 * time.Second), Connections: 100_000}
}

// Log says what is logged, and how it is written.
type Log struct {
	Level  string `json:"level"`  // debug | info | warn | error
	Format string `json:"format"` // json | text
}

// Defaults sets what a left-out field means.
func (l *Log) Defaults() { *l = Log{Level: "info", Format: "json"} }

func loopback(address string) bool {
	host, _, err := splitAddress(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
