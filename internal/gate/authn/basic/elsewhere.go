package basic

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	// Positive is how long a password that a directory accepted is believed without
	// asking again: who is locked or removed there is refused at the latest by then.
	// Whoever signs in by a browser is asked about each time.
	Positive = 5 * time.Minute
	// negative is how long a refused password is not asked about again.
	negative = 3 * time.Second
	// mostRefused is how many of them are remembered.
	mostRefused = 1 << 10
	// patience is how long a request waits for all directories together.
	patience = 5 * time.Second
)

// Elsewhere are the directories that keep the passwords of users who have none
// here.
type Elsewhere struct {
	asker   authn.Passwords
	list    []*model.IdentityProvider // in order of name
	epoch   uint64
	refused authn.Refusals
}

// NewElsewhere gathers the directories of a configuration; nil where there is none.
func NewElsewhere(asker authn.Passwords, providers []model.IdentityProvider) *Elsewhere {
	e := &Elsewhere{asker: asker}
	var epoch []string
	for i := range providers {
		p := &providers[i]
		if p.Type != model.ProviderLDAP || !p.Enabled {
			continue
		}
		// CVE-2026-33496: what one configuration of a provider granted is not met under another.
		b, _ := json.Marshal(p)
		epoch = append(epoch, string(b))
		e.list = append(e.list, p)
	}
	if len(e.list) == 0 || asker == nil {
		return nil
	}
	slices.Sort(epoch)
	slices.SortFunc(e.list, func(a, b *model.IdentityProvider) int { return strings.Compare(a.Name, b.Name) })
	e.epoch, e.refused = authn.Epoch(epoch...), authn.NewRefusals(mostRefused)
	return e
}

// epochOf is 0 without directories: then nothing that is cached depends on them.
func (e *Elsewhere) epochOf() uint64 {
	if e == nil {
		return 0
	}
	return e.epoch
}

// ask has the directories judge a name that has no password here, in order of name.
// The first that knows the name judges it alone: a wrong password there is not
// tried at the next. One that cannot be asked keeps no other from proving its
// users; where none does, nobody can tell.
func (e *Elsewhere) ask(ctx context.Context, username, password string, now time.Time) authn.Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var down error
	silent, why := "", ""
	for _, p := range e.list {
		a, err := e.asker.Ask(ctx, p, username, password)
		switch {
		case err != nil:
			down, silent = err, p.Name
			continue
		case a.Subject != "":
			return authn.Result{Outcome: authn.Proven, Proof: &authn.Proof{Method: model.MethodBasic, Provider: p.Name,
				Subject: a.Subject, Claims: a.Claims, Ambient: true, Issued: now}}
		}
		if why != "" {
			why += "; "
		}
		why += p.Name + ": " + a.Refusal
		if a.Known {
			break
		}
	}
	if down != nil {
		return authn.Unavailable("directory "+silent+" could not be asked about "+username, down)
	}
	return authn.Refuse(model.CredentialInvalid, "user "+username+" has no password here, and is not proven elsewhere: "+why)
}
