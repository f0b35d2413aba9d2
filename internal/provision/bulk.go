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
		in := &intake{change: t, options: o, result: res, empty: n == 0, seen: map[string]bool{}}
		i := 0
		for u, err := range source {
			if err != nil {
				return err
			}
			if err := in.take(ctx, &u, i); err != nil {
				return err
			}
			if len(t.faults) >= importFaults {
				break
			}
			i++
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

type intake struct {
	*change
	options ImportOptions
	result  *ImportResult
	empty   bool            // the store had no users, so those seen are all there are
	seen    map[string]bool // folded usernames
}

func (in *intake) take(ctx context.Context, u *model.User, i int) error {
	at := index(KindUsers, i)
	drafts, err := in.s.drafting(ctx, []model.User{*u}, func(int) string { return at }, func(int) string { return u.Username }, in.dryRun)
	if err != nil {
		return err
	}
	folded := model.FoldUsername(u.Username)
	if in.seen[folded] {
		in.faults.Add(at+".username", quote(u.Username)+" is given twice (names are compared without regard to case)")
		return nil
	}
	in.seen[folded] = true
	var before *store.UserRecord
	if !in.empty {
		if before, err = absent(in.w.User(in.ctx, u.Username)); err != nil {
			return err
		}
	}
	if before != nil && !in.options.Replace {
		in.faults = append(in.faults, drafts[0].faults...)
		in.result.Skipped++
		return nil
	}
	faults, wrote := len(in.faults), in.undo.lines.Len()
	if err := in.placeUser(before, &drafts[0], in.options.Owner, nil); err != nil {
		return fmt.Errorf("importing %s (%s): %w", at, u.Username, err)
	}
	switch {
	case len(in.faults) > faults:
	case in.undo.lines.Len() == wrote:
		in.result.Unchanged++
	case before == nil:
		in.result.Created++
	default:
		in.result.Updated++
	}
	return nil
}
