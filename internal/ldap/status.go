package ldap

import (
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Status is how a directory fares, for people.
type Status struct {
	Source    string     `json:"source"` // the directory's URL
	Asked     uint64     `json:"asked"`  // about names and passwords, since it was configured
	LastAsked *time.Time `json:"lastAsked"`
	LastGood  *time.Time `json:"lastGood"`
	LastError string     `json:"lastError,omitempty"`
	Remedy    string     `json:"remedy,omitempty"`
	Paused    bool       `json:"paused"`  // it did not answer several times in a row and is left alone for a moment
	Healthy   bool       `json:"healthy"` // the last question was answered, or there was none
	UnderWay  int        `json:"underWay"`
	Idle      int        `json:"idleConnections"`
}

// Status tells how a provider's directory fares. It asks nobody.
func (r *Registry) Status(p *model.IdentityProvider) Status {
	st := Status{Source: p.URL}
	d, err := r.of(p)
	if err != nil {
		st.LastError = err.Error()
		return st
	}
	now := r.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	st.Asked, st.Healthy = d.asked, d.fault == nil
	st.Paused = d.timeouts >= r.o.Failures && now.Before(d.until)
	st.UnderWay, st.Idle = len(d.slots), d.searching.size()+d.binding.size()
	if last := d.last; !last.IsZero() {
		st.LastAsked = &last
	}
	if good := d.good; !good.IsZero() {
		st.LastGood = &good
	}
	if d.fault != nil {
		st.LastError, st.Remedy = d.fault.Error(), remedy(d.fault)
	}
	return st
}
