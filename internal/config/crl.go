package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// ParseCRLs reads certificate revocation lists: one in DER, or any number in PEM.
func ParseCRLs(b []byte) ([]*x509.RevocationList, error) {
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		l, err := x509.ParseRevocationList(b)
		if err != nil {
			return nil, errors.New("holds no certificate revocation list, neither PEM nor DER")
		}
		return []*x509.RevocationList{l}, nil
	}
	var lists []*x509.RevocationList
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a revocation list that cannot be read: " + err.Error())
		}
		lists = append(lists, l)
	}
	if len(lists) == 0 {
		return nil, errors.New("holds no PEM block of type X509 CRL")
	}
	return lists, nil
}
