// Package all is the table of the methods of authentication: the only place that
// names them all, one line each, in the order in which they are tried. The app
// calls it whenever a configuration is compiled.
package all
