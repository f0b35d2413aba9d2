// Package app is the composition root: the only package that sees everything. It
// reads no configuration format and decides nothing; it makes the parts, joins
// them, starts and stops them in order.
package app
