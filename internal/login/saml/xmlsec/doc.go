// Package xmlsec reads XML of strangers in one way alone, verifies its enveloped
// signatures (XML Signature, in the profile of SAML core 5.4) and decrypts what was
// encrypted to the gateway (XML Encryption, with RSA-OAEP and AES).
//
// goxmldsig canonicalizes and digests; what a signature may look like at all is
// decided here before it is asked, and what it answers is read from the very bytes
// that it digested. What the elements mean is the business of package saml, which
// alone calls this one.
package xmlsec
