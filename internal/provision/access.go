package provision

import (
	"slices"
	"sort"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// changer is the role that may change a kind besides admin; "" = admin alone
// (SPEC 5). The credentials of users and administrators go with their owners.
func changer(kind string) model.AdminRole {
	switch kind {
	case store.KindServices, store.KindRoutes, store.KindIdentityProviders, "limits":
		return model.AdminOperator
	case KindUsers, store.KindGroups:
		return model.AdminProvisioner
	}
	return ""
}

func (a Actor) may(kind string) bool {
	if slices.Contains(a.Roles, model.AdminAll) {
		return true
	}
	role := changer(kind)
	return role != "" && slices.Contains(a.Roles, role)
}

// permit refuses an actor whose roles do not reach all the kinds, before anything
// is read that the answer could give away.
func (s *Service) permit(a Actor, kinds ...string) error {
	var missing []string
	for _, k := range kinds {
		if !a.may(k) && !slices.Contains(missing, k) {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	sort.Strings(missing)
	err := model.NewError(model.PermissionDenied, "Your roles do not let you change "+strings.Join(missing, ", ")+".")
	s.refused(a, err)
	return err
}

// permitAny refuses an actor who may change nothing at all; what exactly a
// document changes is known, and checked, only once it is compared.
func (s *Service) permitAny(a Actor) error {
	for _, r := range []model.AdminRole{model.AdminAll, model.AdminOperator, model.AdminProvisioner} {
		if slices.Contains(a.Roles, r) {
			return nil
		}
	}
	err := model.NewError(model.PermissionDenied, "Your roles do not let you change anything.")
	s.refused(a, err)
	return err
}

// refused leaves a trace of an attempt beyond one's rights. The refusal stands
// whether or not the trace could be written.
func (s *Service) refused(a Actor, err *model.Error) {
	_ = s.deps.Record(model.Event{Time: s.now(), Type: model.EventAdmin, Outcome: "denied", Code: err.Code,
		Reason: err.Message, RequestID: a.RequestID, Actor: a.Name, ClientIP: a.ClientIP})
}
