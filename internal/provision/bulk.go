package provision

import (
	"context"
	"fmt"
	"iter"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// ImportOptions say how many users at once are taken in.
type ImportOptions struct {
	DryRun bool
	// Replace puts users that exist, as Put does; else they are left as they are
	// and counted as skipped.
	Replace bool
	Owner   string // as of ApplyOptions
}

// ImportResult is what an import did.
type ImportResult struct {
	Revision                             int64
	Created, Updated, Unchanged, Skipped int
	Warnings                             []string
}

// importFaults is how many faults an import reports before it stops looking.
const importFaults = 100

// ImportUsers takes in any number of users from a source that need not fit into
// memory: one transaction, one revision, one event, in which all but the first
// are counted. An error of the source ends it, with nothing imported. Hashes
// should come ready made: passwords in plain text are hashed while other writers wait.
func (s *Service) ImportUsers(ctx context.Context, a Actor, source iter.Seq2[model.User, error], o ImportOptions) (*ImportResult, error) {
	if err := s.permit(a, KindUsers); err != nil {
		return nil, err
	}
	res := &ImportResult{}
	out, err := s.run(ctx, &change{actor: a, dryRun: o.DryRun, document: true}, func(t *change) error {
		n, err := t.w.CountUsers(t.ctx, store.UserQuery{})
		if err != nil {
			return err
		}
		in := &intake{change: t, options: o, result: res, empty: n == 0, left: map[string]bool{}}
		for d, err := range s.draftAhead(ctx, source, o.DryRun) {
			if err != nil {
				return err
			}
			if err := in.take(d); err != nil {
				return err
			}
			if len(t.faults) >= importFaults {
				break
			}
		}
		t.object, t.created = nil, false
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	res.Revision, res.Warnings = out.Revision, out.Warnings
	return res, nil
}

// How many users are drafted together, and how many such batches ahead of the
// writing: enough to keep both sides busy, and little memory.
const (
	draftedAtOnce = 64
	draftedAhead  = 4
)

// draftAhead reads and drafts the source's users beside whoever takes them, in
// their order. It ends with the first error, and the source has ended when it has.
func (s *Service) draftAhead(ctx context.Context, source iter.Seq2[model.User, error], dry bool) iter.Seq2[*draft, error] {
	type batch struct {
		drafts []draft
		err    error
	}
	return func(yield func(*draft, error) bool) {
		batches, enough, panicked := make(chan batch, draftedAhead), make(chan struct{}), any(nil)
		go func() {
			defer close(batches)
			defer func() { panicked = recover() }()
			first, users := 0, make([]model.User, 0, draftedAtOnce)
			pass := func(failed error) bool {
				drafts, err := s.drafting(ctx, users, func(i int) string { return index(KindUsers, first+i) }, func(i int) string { return users[i].Username }, dry)
				first, users = first+len(users), users[:0]
				if err == nil {
					err = failed
				}
				select {
				case batches <- batch{drafts, err}:
					return err == nil
				case <-enough:
					return false
				}
			}
			for u, err := range source {
				if err == nil {
					users = append(users, u)
				}
				if (err != nil || len(users) == draftedAtOnce) && !pass(err) {
					return
				}
			}
			pass(nil)
		}()
		defer func() {
			close(enough)
			for range batches { // until the source has ended
			}
			if panicked != nil {
				panic(panicked)
			}
		}()
		for b := range batches {
			for i := range b.drafts {
				if !yield(&b.drafts[i], nil) {
					return
				}
			}
			if b.err != nil {
				yield(nil, b.err)
				return
			}
		}
	}
}

type intake struct {
	*change
	options ImportOptions
	result  *ImportResult
	empty   bool            // the store had no users, so those seen are all there are
	left    map[string]bool // folded usernames that were given and are as they were
}

func (in *intake) take(d *draft) error {
	folded := model.FoldUsername(d.user.Username)
	if in.named[folded] || in.left[folded] {
		in.faults.Add(d.path+".username", quote(d.user.Username)+" is given twice (names are compared without regard to case)")
		return nil
	}
	var before *store.UserRecord
	var err error
	if !in.empty {
		if before, err = absent(in.w.User(in.ctx, d.user.Username)); err != nil {
			return err
		}
	}
	if before != nil && !in.options.Replace {
		in.faults = append(in.faults, d.faults...)
		in.left[folded] = true
		in.result.Skipped++
		return nil
	}
	faults, wrote := len(in.faults), in.undo.lines.Len()
	if err := in.placeUser(before, d, in.options.Owner, nil); err != nil {
		return fmt.Errorf("importing %s (%s): %w", d.path, d.user.Username, err)
	}
	switch {
	case len(in.faults) > faults:
		in.left[folded] = true
	case in.undo.lines.Len() == wrote:
		in.left[folded] = true
		in.result.Unchanged++
	case before == nil:
		in.result.Created++
	default:
		in.result.Updated++
	}
	return nil
}
