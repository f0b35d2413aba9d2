package provision

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store"
)

// unhashed stands for a hash that need not be made, in a dry run and where the
// change is refused anyway.
const unhashed = "(not hashed)"

// publicName is what makes a credential findable, and unique among all users.
// A user has one password at most, so its name is the same for all.
func publicName(c *model.Credential) string {
	switch c.Type {
	case model.Password:
		return "password"
	case model.Certificate:
		kind, value := certificateName(c)
		return "certificate " + kind + " " + value
	case model.PublicKey:
		return "publicKey " + c.KeyID
	case model.Link:
		return "link " + c.Provider + " " + c.Subject
	}
	if c.Prefix == "" { // a key that is named by its id alone
		return string(c.Type) + " " + c.ID
	}
	return string(c.Type) + " " + c.Prefix
}

func certificateName(c *model.Credential) (kind, value string) {
	k, _ := directory.CredentialKey(c)
	return k.A, k.B
}

// credentialFaults judges given credentials by themselves, beyond the model: the
// types their owner may have, the form of hashes, and what is given twice. It
// brings certificate names and public keys into their one spelling.
func credentialFaults(kind, path string, given []model.Credential) (f model.Faults) {
	allowed := []model.CredentialType{model.Password, model.APIKey, model.Certificate, model.PublicKey, model.Link}
	if kind == store.KindAdministrators {
		allowed = []model.CredentialType{model.Password, model.AdminToken, model.Certificate}
	}
	seen := map[string]bool{}
	for i := range given {
		c, at := &given[i], index(path, i)
		c.Fingerprint, c.DNS = model.NormalFingerprint(c.Fingerprint), strings.ToLower(c.DNS)
		c.KeyID = ""
		if c.Type == model.PublicKey {
			c.PublicKey, c.KeyID = model.NormalPublicKey(c.PublicKey)
		} else if c.PublicKey != "" {
			f.Add(at+".publicKey", "belongs to a credential of type publicKey")
		}
		c.ExpiresAt, c.Secret = moment(c.ExpiresAt), ""
		if !slices.Contains(allowed, c.Type) {
			names := make([]string, len(allowed))
			for j, t := range allowed {
				names[j] = string(t)
			}
			f.Add(at+".type", "is one of "+strings.Join(names, ", "))
			continue
		}
		if c.Type == model.Password && c.Hash != "" && c.Hash != model.Mask && secret.CheckHash(c.Hash) != nil {
			f.Add(at+".hash", "is not a hash that can be checked here: argon2id, bcrypt, or what htpasswd writes ($apr1$, $5$, $6$, {SHA}, {SSHA})")
		}
		if c.Password != "" && c.Type != model.Password {
			f.Add(at+".password", "belongs to a credential of type password")
		}
		if len(c.Scopes) > 0 && kind == store.KindAdministrators {
			f.Add(at+".scopes", "narrow the rights of users; an administrator's are its roles")
		}
		if name := publicName(c); seen[name] {
			f.Add(at, "is given twice; there is one password, and every other credential once")
		} else {
			seen[name] = true
		}
	}
	return f
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// hashing is one password to hash, and whose it is.
type hashing struct {
	c           *model.Credential
	kind, owner string
}

func passwordsOf(list []model.Credential, kind, owner string) (jobs []hashing) {
	for i := range list {
		if c := &list[i]; c.Type == model.Password && c.Password != "" {
			jobs = append(jobs, hashing{c, kind, owner})
		}
	}
	return jobs
}

// hashAll replaces passwords by their hashes: the stored one where the password is
// still the same, else a new one. skip makes stand-ins.
func (s *Service) hashAll(ctx context.Context, jobs []hashing, skip bool) error {
	errs := make([]error, len(jobs))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i, j := range jobs {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.hash(ctx, j, skip)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (s *Service) hash(ctx context.Context, j hashing, skip bool) error {
	password := j.c.Password
	j.c.Password = ""
	if skip && s.deps.Verify == nil {
		j.c.Hash = unhashed
		return nil
	}
	if s.deps.Verify != nil {
		kept, err := s.storedHash(ctx, j.kind, j.owner)
		if err != nil {
			return err
		}
		if kept != "" {
			ok, _, err := s.deps.Verify(ctx, kept, password)
			if err != nil {
				return err
			}
			if ok {
				j.c.Hash = kept
				return nil
			}
		}
	}
	if skip {
		j.c.Hash = unhashed
		return nil
	}
	if s.deps.Hash == nil {
		return &model.Error{Code: model.Internal, Message: "The gateway met an unexpected fault.", Err: errors.New("no hasher is set up")}
	}
	h, err := s.deps.Hash(ctx, password)
	j.c.Hash = h
	return err
}

func (s *Service) storedHash(ctx context.Context, kind, owner string) (hash string, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		list, _, err := ownCredentials(ctx, r, kind, owner)
		for i := range list {
			if list[i].Type == model.Password {
				hash = list[i].Hash
			}
		}
		return err
	})
	return hash, err
}
