package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport/sallyport/internal/model"
)

// Report is what Check found out about a provider.
type Report struct {
	Provider string    `json:"provider"`
	OK       bool      `json:"ok"` // nothing that stands in the way of a login
	Findings []Finding `json:"findings"`
}

// Finding is one thing that was looked at.
type Finding struct {
	Level  Level  `json:"level"`
	About  string `json:"about"` // connect, tls, bind, userBase, groupBase, …
	Says   string `json:"says"`
	Remedy string `json:"remedy,omitempty"`
}

// Level is how much a finding matters.
type Level string

// The levels.
const (
	LevelGood    Level = "good"
	LevelWarning Level = "warning" // logins work, but something is missing or weak
	LevelFault   Level = "fault"   // logins do not work
)

func (r *Report) add(l Level, about, says, remedy string) {
	r.Findings = append(r.Findings, Finding{l, about, says, remedy})
	r.OK = r.OK && l != LevelFault
}

// trouble adds a failure, and answers whether there was one.
func (r *Report) trouble(about string, err error) bool {
	if err == nil {
		return false
	}
	if t := (*Trouble)(nil); errors.As(err, &t) {
		about = string(t.At)
	}
	r.add(LevelFault, about, err.Error(), remedy(err))
	return true
}

// probed is how many entries a probe counts at most.
const probed = 100

// Check asks a directory freshly, over connections of its own, and says in words
// what is wrong and what to do. It changes nothing and keeps nothing.
func (r *Registry) Check(ctx context.Context, p *model.IdentityProvider) Report {
	rep := &Report{Provider: p.Name, OK: true}
	if p.Type != model.ProviderLDAP {
		rep.add(LevelFault, "type", "the provider is of type "+string(p.Type), "Check providers of this type where they are handled.")
		return *rep
	}
	t, err := targetOf(p)
	if rep.trouble("ca", err) {
		return *rep
	}
	d := &directory{o: &r.o, target: t, slots: make(chan struct{}, 1)}
	d.searching.o, d.binding.o = &r.o, &r.o
	defer d.close()
	c, err := d.target.dial(ctx, r.o.Connect)
	if rep.trouble("connect", err) {
		return *rep
	}
	if state, ok := c.wire.state(); ok {
		rep.add(LevelGood, "tls", fmt.Sprintf("TLS with %s; its certificate ends on %s", t.address, state.NotAfter.UTC().Format("2006-01-02")), "")
	} else {
		rep.add(LevelWarning, "tls", "plain, on loopback", "")
	}
	c.close()
	if c, err = d.open(ctx, forSearch); rep.trouble("bind", err) {
		return *rep
	}
	c.close()
	if p.BindDN == "" {
		rep.add(LevelWarning, "bind", "the gateway searches anonymously", "Give bindDN if the directory shows users to nobody but those who bind.")
	} else {
		rep.add(LevelGood, "bind", "the directory accepts bindDN and bindPassword", "")
	}
	d.probe(ctx, rep, stageUser, p.UserBase, strings.ReplaceAll(userFilter(p), "{username}", "*"), "users")
	if p.GroupBase != "" {
		every := strings.NewReplacer("{username}", "*", "{dn}", "*").Replace(groupFilter(p))
		d.probe(ctx, rep, stageGroups, p.GroupBase, every, "groups")
	}
	if p.NestedGroups && rep.OK {
		if follows, err := d.followsChains(ctx); !rep.trouble("nestedGroups", err) && follows {
			rep.add(LevelGood, "nestedGroups", "the directory follows groups of groups by itself", "")
		} else if err == nil {
			rep.add(LevelGood, "nestedGroups", fmt.Sprintf("groups of groups are looked up one level after the other, up to %d", mostLevels), "")
		}
	}
	return *rep
}

// probe asks whether the base is there and how many entries the filter could fit.
func (d *directory) probe(ctx context.Context, rep *Report, at stage, base, filter, what string) {
	found, more, err := d.search(ctx, base, filter, probed, []string{"1.1"})
	count := fmt.Sprint(len(found))
	switch {
	case err != nil && ldap.IsErrorAnyOf(err, ldap.LDAPResultInappropriateMatching, ldap.LDAPResultUndefinedAttributeType):
		rep.add(LevelWarning, string(at), base+" is there; how many "+what+" there are cannot be asked with this filter", "")
	case err != nil:
		rep.trouble(string(at), trouble(at, d.target.address, err))
	case len(found) == 0:
		rep.add(LevelWarning, string(at), "no "+what+" under "+base+" fit "+filter, "Check the base and the filter, and that bindDN may see them.")
	default:
		if more {
			count = "more than " + count
		}
		rep.add(LevelGood, string(at), count+" "+what+" under "+base, "")
	}
}
