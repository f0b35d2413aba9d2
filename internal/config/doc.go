// Package config reads files that an operator writes: the boot file, which holds
// what needs a restart, and declarative files of resources. Secrets in them,
// ${env:NAME} and ${file:PATH}, are resolved here.
//
// Every fault of a file is reported with its line and path, all in one go, those
// of meaning included: a certificate that does not fit its key is found here and
// not by the first handshake. It opens no sockets and changes nothing; what an
// object of a resource file means as part of the whole set is for the write side
// to judge.
//
// The composition root loads the boot file; the command line reads resources.
package config
