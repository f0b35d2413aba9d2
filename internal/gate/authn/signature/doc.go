// Package signature authenticates by HTTP message signatures (RFC 9421) with a
// user's public key.
//
// It owns the reading of Signature-Input and Signature (structured fields, RFC
// 8941), the signature base, what a signature must cover and how old it may be,
// and that none is taken twice. Keys are found by their thumbprint (RFC 7638) in
// the directory. It never sees a body: it asks that Content-Digest is covered
// where there is one, and whether the body is the digest's is the backend's to
// check. authn/all puts it in the table.
package signature
