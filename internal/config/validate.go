package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// validate judges what the fields mean, and fills in what follows from them.
func (c *Config) validate() (f model.Faults) {
	c.DataDir = c.Resolve(c.DataDir)
	if c.DataDir == "" {
		f.Add("dataDir", "is empty; name a folder for keys, the database and the audit log")
	} else if info, err := os.Stat(c.DataDir); err == nil && !info.IsDir() {
		f.Add("dataDir", "is not a folder")
	}
	c.listeners(&f)
	c.external(&f)
	c.store(&f)
	c.Trusted, _ = model.ParsePrefixes(nil, "")
	trusted, faults := model.ParsePrefixes(c.TrustedProxies, "trustedProxies")
	c.Trusted = trusted
	f = append(f, faults...)
	for i, p := range trusted {
		if p.Bits() == 0 {
			f.Add(at("trustedProxies", i), "believes the whole world; list the networks of your own front ends")
		}
	}
	for i, r := range c.Resources {
		c.Resources[i] = c.Resolve(r)
		if _, err := os.Stat(c.Resources[i]); err != nil {
			f.Add(at("resources", i), fmt.Sprintf("%q: %s", r, unreadable(err)))
		}
	}
	c.Limits.validate(&f)
	oneOf(&f, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(&f, "log.format", c.Log.Format, "json", "text")
	return f
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func oneOf(f *model.Faults, path, v string, allowed ...string) {
	if !slices.Contains(allowed, v) {
		f.Add(path, "is one of "+strings.Join(allowed, ", "))
	}
}

func (c *Config) external(f *model.Faults) {
	if c.ExternalURL == "" {
		c.ExternalURL = "https://localhost"
		for _, l := range c.Listeners {
			_, port, err := splitAddress(l.Address)
			if err == nil && l.Serves(ServeProxy) {
				if l.TLS == nil {
					c.ExternalURL = "http://localhost"
				}
				c.ExternalURL += ":" + strconv.Itoa(port)
				break
			}
		}
	}
	c.ExternalURL = strings.TrimSuffix(c.ExternalURL, "/")
	u, err := url.Parse(c.ExternalURL)
	switch {
	case err != nil || !model.SecureURL(u):
		f.Add("externalURL", "is an https URL, such as https://api.example.com (http only on loopback)")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		f.Add("externalURL", "is scheme, host and port only, without path, query or user information")
	default:
		c.External = u
	}
}

func (c *Config) store(f *model.Faults) {
	kind, rest, more := strings.Cut(c.Store, ":")
	switch {
	case c.Store == "sqlite":
		c.StorePath = filepath.Join(c.DataDir, "sallyport.db")
	case kind == "sqlite" && more && rest != "":
		c.StorePath = c.Resolve(rest)
	case kind == "postgres" || kind == "postgresql":
		f.Add("store", "names PostgreSQL, which is not built yet; write sqlite or sqlite:PATH")
	default:
		f.Add("store", "is sqlite (in dataDir) or sqlite:PATH")
	}
}

func (l *Limits) validate(f *model.Faults) {
	if l.HeaderBytes < 4<<10 || l.HeaderBytes > 1<<20 {
		f.Add("limits.headerBytes", "is 4KiB to 1MiB")
	}
	for _, d := range []struct {
		name string
		v    model.Duration
	}{{"headerTimeout", l.HeaderTimeout}, {"idleTimeout", l.IdleTimeout}} {
		if d.v.D() < 100*time.Millisecond || d.v.D() > time.Hour {
			f.Add("limits."+d.name, "is 100ms to 1h: without a bound, slow clients hold connections for ever")
		}
	}
	if l.Connections < 1 {
		f.Add("limits.connections", "is 1 or more")
	}
}

// splitAddress reads host:port; the host may be empty for every address.
func splitAddress(s string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, errors.New("is not host:port; write 0.0.0.0:8443, 127.0.0.1:8444 or [::1]:8444")
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("has %q for a port; write a number from 1 to 65535 (0 = any that is free)", text)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return "", 0, fmt.Errorf("has %q for a host; listen on an IP address of this machine, on localhost, or on 0.0.0.0", host)
	}
	return host, port, nil
}

func (c *Config) listeners(f *model.Faults) {
	if len(c.Listeners) == 0 {
		f.Add("listeners", "is empty; nothing would be served")
	}
	for i := range c.Listeners {
		l, path := &c.Listeners[i], at("listeners", i)
		l.validate(path, f)
		if l.TLS != nil {
			l.TLS.validate(c, path+".tls", f)
		}
		for j := range i {
			if sameAddress(c.Listeners[j].Address, l.Address) {
				f.Add(path+".address", fmt.Sprintf("%s is taken by %s, which is %s", l.Address, at("listeners", j), c.Listeners[j].Address))
			}
		}
	}
}

func sameAddress(a, b string) bool {
	hostA, portA, errA := splitAddress(a)
	hostB, portB, errB := splitAddress(b)
	if errA != nil || errB != nil || portA != portB || portA == 0 {
		return false
	}
	if hostA == "localhost" {
		hostA = "127.0.0.1"
	}
	if hostB == "localhost" {
		hostB = "127.0.0.1"
	}
	return hostA == hostB || everywhere(hostA) || everywhere(hostB)
}

func everywhere(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

func (l *Listener) validate(path string, f *model.Faults) {
	_, _, err := splitAddress(l.Address)
	switch {
	case l.Address == "":
		f.Add(path+".address", "is missing; write host:port, such as 0.0.0.0:8443")
	case err != nil:
		f.Add(path+".address", err.Error())
	}
	if len(l.Serve) == 0 {
		f.Add(path+".serve", "is missing; write one or more of "+strings.Join(served, ", "))
	}
	for i, s := range l.Serve {
		if !slices.Contains(served, s) {
			f.Add(at(path+".serve", i), fmt.Sprintf("%q is not served; write one of %s", s, strings.Join(served, ", ")))
		} else if slices.Index(l.Serve, s) < i {
			f.Add(at(path+".serve", i), s+" is there twice")
		}
	}
	if len(l.Serve) > 1 && (l.Serves(ServeProxy) || l.Serves(ServeRedirect)) {
		f.Add(path+".serve", "proxy and redirect each want a listener of their own: other paths would stand before the routes")
	}
	l.plaintext(path, err == nil, f)
}

func (l *Listener) plaintext(path string, known bool, f *model.Faults) {
	switch {
	case l.TLS != nil && l.AllowPlaintext:
		f.Add(path+".allowPlaintext", "contradicts tls; take one of them away")
	case l.TLS != nil && l.Serves(ServeRedirect):
		f.Add(path+".tls", "contradicts serve: [redirect], which answers plain HTTP by sending it to https")
	case l.TLS == nil && !l.AllowPlaintext && known && !l.Loopback() && (l.Serves(ServeProxy) || l.Serves(ServeAdmin)):
		f.Add(path, "serves plain HTTP outside loopback, where credentials can be read on the way; add tls, or say allowPlaintext: true")
	}
}
