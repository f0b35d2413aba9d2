// Package openapi writes the OpenAPI 3.1 document of a table of operations, with
// JSON Schemas made of the model's Go types by reflection.
//
// It serves nothing: the admin API's mount table is its input, so that what is
// described is what is mounted.
package openapi
