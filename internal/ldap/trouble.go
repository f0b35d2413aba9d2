package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"

	"github.com/go-ldap/ldap/v3"
)

// ErrUnavailable says that a directory could not be asked: never that a password
// is wrong.
var ErrUnavailable = errors.New("the directory cannot be asked")

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// stage is what was being done when it failed.
type stage string

const (
	stageConnect  stage = "connect"
	stageStartTLS stage = "startTLS"
	stageTLS      stage = "tls"
	stageBind     stage = "bind"
	stageUser     stage = "userBase"
	stageGroups   stage = "groupBase"
	stageProof    stage = "password"
)

// Trouble is a failure to ask, with what was being done.
type Trouble struct {
	At      stage
	Address string
	Err     error
}

var doing = map[stage]string{
	stageConnect:  "connecting to ",
	stageStartTLS: "asking for TLS (StartTLS) at ",
	stageTLS:      "TLS with ",
	stageBind:     "binding as bindDN at ",
	stageUser:     "searching for users at ",
	stageGroups:   "searching for groups at ",
	stageProof:    "proving a password at ",
}

// trouble keeps what an error says already of where it happened.
func trouble(at stage, address string, err error) error {
	if t := (*Trouble)(nil); errors.As(err, &t) {
		return err
	}
	return &Trouble{at, address, err}
}

func (t *Trouble) Error() string { return doing[t.At] + t.Address + ": " + t.Err.Error() }

// Unwrap is the cause.
func (t *Trouble) Unwrap() error { return t.Err }

// answered says whether an error is the directory's own answer, after which the
// connection is as good as before. The library numbers its own errors from 200.
func answered(err error) bool {
	var e *ldap.Error
	return errors.As(err, &e) && e.Packet != nil && e.ResultCode < ldap.ErrorNetwork
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// denied are the answers to a bind that mean: not with this password, or not now.
// Locked, expired and switched off accounts are told by one or other of them,
// depending on the product.
var denied = []uint16{
	ldap.LDAPResultInvalidCredentials,
	ldap.LDAPResultNoSuchObject,
	ldap.LDAPResultInappropriateAuthentication, // the entry has no password
	ldap.LDAPResultUnwillingToPerform,          // 389-ds, eDirectory: locked or expired
	ldap.LDAPResultConstraintViolation,         // 389-ds: too many attempts
	ldap.LDAPResultInsufficientAccessRights,    // OpenLDAP: may not be used to bind
}

// remedy says where to look.
func remedy(err error) string {
	var t *Trouble
	if !errors.As(err, &t) {
		return ""
	}
	var (
		dns    *net.DNSError
		host   x509.HostnameError
		chain  x509.UnknownAuthorityError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		return "Check the host's name in url, and that this machine resolves it."
	case errors.As(err, &host):
		return "Name the directory in url as its certificate does, or have it get one for this name."
	case errors.As(err, &chain):
		return "Give in ca the PEM certificate of the authority that issued the directory's; without ca the system's roots are asked."
	case errors.As(err, &record):
		return "The port does not speak TLS from its first byte: use ldap:// with startTLS: true, or the port for ldaps (636)."
	case isTimeout(err):
		return "The directory takes too long, or something on the way swallows packets: try its port from this machine."
	}
	switch t.At {
	case stageConnect:
		return "Check that the directory runs, its port, and that a firewall lets this machine reach it."
	case stageStartTLS:
		return "Set up TLS at the directory, or use ldaps:// if it has a port for that."
	case stageTLS:
		return "Check the directory's certificate: its names, its dates, and who issued it."
	}
	return t.answerRemedy()
}

func (t *Trouble) answerRemedy() string {
	is := func(codes ...uint16) bool { return ldap.IsErrorAnyOf(t.Err, codes...) }
	switch {
	case t.At == stageBind && is(ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax):
		return "Check bindDN and bindPassword."
	case is(ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax):
		return "Check " + string(t.At) + ": there is no such entry, or bindDN may not see it."
	case is(ldap.LDAPResultReferral):
		return "Name the server that has the entries in url: referrals are not followed."
	case is(ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultOperationsError, ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultInappropriateAuthentication):
		return "Give bindDN the right to search there, or give a bindDN where there is none."
	case is(ldap.LDAPResultConfidentialityRequired):
		return "The directory asks for TLS: use ldaps://, or startTLS: true."
	}
	return "See what the directory logged."
}

// adCode is what Active Directory tells beside invalidCredentials.
var adCode = regexp.MustCompile(`\bdata ([0-9a-f]{2,8})\b`)

// errDone ends a search whose further answers are of no interest.
var errDone = errors.New("enough")
