package provision

import (
	"context"
	"slices"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// Apply replaces each object that the document names, as Put does, and touches
// nothing else: one transaction, one revision, every fault at once.
func (s *Service) Apply(ctx context.Context, a Actor, doc *model.Document, o ApplyOptions) (*Outcome, error) {
	if err := s.permitAny(a); err != nil {
		return nil, err
	}
	if o.Digest != "" {
		last, revision, err := s.applied(ctx, o.Owner)
		if err != nil {
			return nil, err
		}
		if last == o.Digest {
			return &Outcome{Revision: revision, Changes: []model.Change{}}, nil
		}
	}
	drafts, err := s.drafting(ctx, doc.Users, func(i int) string { return index(KindUsers, i) },
		func(i int) string { return doc.Users[i].Username }, o.DryRun)
	if err != nil {
		return nil, err
	}
	p := &application{doc: doc, options: o, drafts: drafts, named: map[string]map[string]bool{}}
	return s.run(ctx, &change{actor: a, dryRun: o.DryRun, document: true}, func(t *change) error {
		p.change = t
		err := firstError(p.settings, p.objects, p.expect, p.users, p.prune, p.finish)
		t.object, t.created = nil, false
		return err
	})
}

// application is one document being applied.
type application struct {
	*change
	doc     *model.Document
	options ApplyOptions
	drafts  []draft
	named   map[string]map[string]bool // kind → what the document names
	memory  *memory                    // where what was done at run time wins
	stored  *applied
}

func (p *application) settings() error {
	for _, part := range p.doc.Settings.Parts() {
		if err := p.one(store.KindSettings, part.Name, "settings."+part.Name, part.Value); err != nil {
			return err
		}
	}
	return nil
}

// one puts one object of the document.
func (p *application) one(kind, name, path string, value any) error {
	c, _ := collectionOf(kind, name)
	if p.named[kind] == nil {
		p.named[kind] = map[string]bool{}
	}
	if p.named[kind][name] {
		p.faults.Add(path+".name", quote(name)+" is given twice in this document")
		return nil
	}
	p.named[kind][name] = true
	p.place(kind, name, path)
	v, err := c.clone(value)
	if err != nil {
		return err
	}
	stored, old, err := p.get(c, name)
	if err != nil {
		return err
	}
	p.faults = append(p.faults, c.unmask(path, v, old)...)
	if stored != nil || c.singleton {
		p.warnPut(c, old, v)
	}
	return p.put(c, name, v, p.options.Owner)
}

func (p *application) objects() error {
	d := p.doc
	return firstError(
		func() error { return each(p, store.KindServices, d.Services) },
		func() error { return each(p, store.KindRoutes, d.Routes) },
		func() error { return each(p, store.KindRoles, d.Roles) },
		func() error { return each(p, store.KindGroups, d.Groups) },
		func() error { return each(p, store.KindIdentityProviders, d.IdentityProviders) },
	)
}

func each[T any](p *application, kind string, list []T) error {
	c, _ := collectionOf(kind, "")
	for i := range list {
		if err := p.one(kind, *c.name(&list[i]), index(kind, i), &list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *application) expect() error {
	if p.doc.Expect == nil {
		return nil
	}
	return p.one(store.KindExpect, expectations, expectations, &p.doc.Expect)
}

func (p *application) users() error {
	if p.options.RuntimeWins {
		stored, err := readApplied(p.ctx, p.w, p.options.Owner)
		if err != nil {
			return err
		}
		p.stored, p.memory = stored, newMemory(stored)
	}
	befores := make([]*store.UserRecord, len(p.drafts))
	seen := map[string]bool{}
	skip := make([]bool, len(p.drafts))
	for i := range p.drafts {
		d := &p.drafts[i]
		folded := model.FoldUsername(d.user.Username)
		if seen[folded] {
			p.faults.Add(d.path+".username", quote(d.user.Username)+" is given twice in this document (names are compared without regard to case)")
			skip[i] = true
			continue
		}
		seen[folded] = true
		var err error
		if befores[i], err = absent(p.w.User(p.ctx, d.user.Username)); err != nil {
			return err
		}
		if p.memory != nil {
			skip[i] = p.memory.yield(p.change, d, befores[i])
		}
		if skip[i] {
			p.faults = append(p.faults, d.faults...)
		}
		if skip[i] || befores[i] == nil || !releases(befores[i].User.Credentials, d.user.Credentials) {
			continue
		}
		// What this user gives up, another of the document may take, and the
		// document has no order.
		if err := p.w.DeleteUser(p.ctx, befores[i].User.ID); err != nil {
			return err
		}
		p.lifted[befores[i].User.ID] = true
	}
	p.named[KindUsers] = seen
	for i := range p.drafts {
		if skip[i] {
			continue
		}
		if err := p.placeUser(befores[i], &p.drafts[i], p.options.Owner, p.memory); err != nil {
			return err
		}
	}
	return nil
}

// releases says whether a stored credential's public name would be given up.
func releases(existing, given []model.Credential) bool {
	if given == nil {
		return false
	}
	for i := range existing {
		e := &existing[i]
		name := publicName(e)
		kept := slices.ContainsFunc(given, func(g model.Credential) bool { return publicName(&g) == name })
		if !kept && e.Declared && e.Type != model.Password {
			return true
		}
	}
	return false
}

// prune deletes what an earlier apply of the same owner made and this document
// omits. Settings are left as they are: their defaults close the gateway.
func (p *application) prune() error {
	owner := p.options.Owner
	if !p.options.Prune || owner == "" {
		return nil
	}
	kinds := append(configKinds(), store.KindExpect)
	for _, kind := range kinds {
		list, err := p.w.ListObjects(p.ctx, kind)
		if err != nil {
			return err
		}
		for i := range list {
			o := &list[i]
			if o.Owner != owner || p.named[kind][o.Name] {
				continue
			}
			c, _ := collectionOf(kind, o.Name)
			v, err := c.read(o.Body)
			if err != nil {
				return err
			}
			if err := p.remove(c, o, v); err != nil {
				return err
			}
			if kind == store.KindIdentityProviders {
				if err := p.unlink(o.Name); err != nil {
					return err
				}
			}
		}
	}
	return p.eachUser(func(r *store.UserRecord) error {
		if r.Owner != owner || p.named[KindUsers][model.FoldUsername(r.User.Username)] {
			return nil
		}
		return p.dropUser(r)
	})
}

func (p *application) finish() error {
	if p.options.Owner == "" || p.options.Digest == "" && p.memory == nil {
		return nil
	}
	now := &applied{Digest: p.options.Digest}
	if p.memory != nil {
		now.Users = p.memory.now
	}
	return now.write(p.change, p.options.Owner)
}
