package sqlite

import (
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// selection is where a query finds its users: the table that leads, with the
// columns by which it is ordered and joined, and what must hold.
type selection struct {
	from  string // the leading table first; users is always u
	order string
	where []string
	args  []any
}

func (s *selection) and(condition string, arg any) {
	s.where = append(s.where, condition)
	s.args = append(s.args, arg)
}

// choose lets the first condition on a word lead, so that the primary key gives
// the order by username too, and no page costs a sort.
func choose(q store.UserQuery) *selection {
	s := &selection{from: "users u", order: "u.folded"}
	for _, c := range []word{{"email", model.FoldUsername(q.Email)}, {"group", q.Group}, {"role", q.Role}} {
		switch {
		case c.word == "":
		case s.order == "u.folded" && q.Username == "":
			s.from, s.order = "words m JOIN users u ON u.num = m.num", "m.folded"
			s.where = append(s.where, "m.list = ? AND m.word = ?")
			s.args = append(s.args, c.list, c.word)
		default:
			s.where = append(s.where, "EXISTS (SELECT 1 FROM words t WHERE t.list = ? AND t.word = ? AND t.folded = u.folded)")
			s.args = append(s.args, c.list, c.word)
		}
	}
	if q.Username != "" {
		s.and("u.folded = ?", model.FoldUsername(q.Username))
	}
	return s
}

func (s *selection) restrict(q store.UserQuery) {
	if q.Kind != "" {
		s.and("u.kind = ?", string(q.Kind))
	}
	if q.Active != nil {
		s.and("u.active = ?", number(*q.Active))
	}
}

func (s *selection) page(q store.UserQuery) {
	if q.After != "" {
		s.and(s.order+map[bool]string{false: " > ?", true: " < ?"}[q.Descending], q.After)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *selection) conditions() string {
	if len(s.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(s.where, " AND ")
}

// countText counts. By kind and activity alone, or by one word, an index answers
// without the rows.
func countText(q store.UserQuery) (string, []any) {
	s := choose(q)
	if s.order == "m.folded" && len(s.where) == 1 && q.Kind == "" && q.Active == nil {
		s.from = "words m"
	}
	s.restrict(q)
	return "SELECT count(*) FROM " + s.from + s.conditions(), s.args
}

// pageText selects a page. Kind and activity alone are ranges of one index, each
// of them in order: SQLite merges them and reads no further than the limit.
func pageText(q store.UserQuery) (string, []any) {
	direction := ""
	if q.Descending {
		direction = " DESC"
	}
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	s := choose(q)
	if s.from != "users u" || q.Username != "" || q.Kind == "" && q.Active == nil {
		s.restrict(q)
		s.page(q)
		return "SELECT u.doc, u.revision, u.owner FROM " + s.from + s.conditions() +
			" ORDER BY " + s.order + direction + " LIMIT ?", append(s.args, limit)
	}
	var ranges []string
	var args []any
	for _, kind := range kinds(q.Kind) {
		for _, active := range activities(q.Active) {
			r := selection{order: "folded"}
			r.and("kind = ?", string(kind))
			r.and("active = ?", active)
			r.page(q)
			ranges = append(ranges, "SELECT num, folded FROM users"+r.conditions())
			args = append(args, r.args...)
		}
	}
	return "SELECT u.doc, u.revision, u.owner FROM (" + strings.Join(ranges, " UNION ALL ") +
			" ORDER BY folded" + direction + " LIMIT ?) m JOIN users u ON u.num = m.num ORDER BY m.folded" + direction,
		append(args, limit)
}

func kinds(k model.Kind) []model.Kind {
	if k != "" {
		return []model.Kind{k}
	}
	return []model.Kind{model.Person, model.Application, model.ServiceUser}
}

func activities(a *bool) []int {
	if a != nil {
		return []int{number(*a)}
	}
	return []int{0, 1}
}
