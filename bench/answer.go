package main

import (
	"fmt"
	"strings"
)

// answerLength is how long the backend's answer is: what a small resource of a
// REST API takes.
const answerLength = 785

// answer is the backend's answer, from memory.
var answer = func() string {
	var b strings.Builder
	b.WriteString(`{"id":"42","status":"open","currency":"EUR","customer":{"id":"c-1007","name":"Alice Ames"},"lines":[`)
	for i := range 7 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sku":"A-%03d","quantity":%d,"price":"19.90","note":"deliver to the side door"}`, i, i+1)
	}
	b.WriteString(`],"comment":"`)
	b.WriteString(strings.Repeat("x", answerLength-b.Len()-len(`"}`)))
	b.WriteString(`"}`)
	return b.String()
}()
