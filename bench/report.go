package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func readReport(path string) (*report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	return r, json.Unmarshal(b, r)
}

// publish prints the tables, and writes them where the command line says.
func publish(o *options, r *report) error {
	text := r.markdown()
	fmt.Print(text)
	var err error
	if o.latest {
		err = os.WriteFile(filepath.Join(o.results, "latest.md"), []byte("# Results of the last whole run\n\n"+text), 0o644)
	}
	if o.write != "" {
		err = errors.Join(err, insert(o.write, text))
	}
	return err
}

// The markers between which a document has the tables.
const (
	beginMark = "<!-- bench: begin -->"
	endMark   = "<!-- bench: end -->"
)

func insert(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(b, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !ok || !ended {
		return fmt.Errorf("%s has no lines %s and %s", path, beginMark, endMark)
	}
	return os.WriteFile(path, slices.Concat(before, []byte(beginMark+"\n\n"+text+"\n"+endMark), after), 0o644)
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s; %d interleaved rounds of %g s; %s.\n\n", r.Time.Format("2006-01-02 15:04 MST"), r.Rounds, r.Seconds, r.Options)
	for _, k := range slices.Sorted(maps.Keys(r.Machine)) {
		fmt.Fprintf(&b, "* %s: %s\n", k, r.Machine[k])
	}
	for _, s := range sections {
		var list []*result
		for _, x := range r.Results {
			if x.Section == s {
				list = append(list, x)
			}
		}
		if len(list) > 0 {
			fmt.Fprintf(&b, "\n### %s\n\n", s)
			table(&b, list)
		}
	}
	return b.String()
}

// column heads, in the order of the columns.
var heads = []struct{ who, head string }{{base, "beside it"}, {own, "gateway"}, {standard, "gateway on net/http"}, {rival, "rival build"}, {nginx, "nginx"}, {haproxy, "HAProxy"}}

// table writes one section: medians with their range, and multiples of the base.
func table(b *strings.Builder, list []*result) {
	b.WriteString("| work |")
	rule := "|---|"
	var shown []string
	for _, h := range heads {
		if slices.ContainsFunc(list, func(r *result) bool { return r.has(h.who) }) {
			shown = append(shown, h.who)
			b.WriteString(" " + h.head + " |")
			rule += "---|"
		}
	}
	b.WriteString(" asked | reached |\n" + rule + "---|---|\n")
	var notes []string
	for _, r := range list {
		title := r.Title
		if r.Note != "" {
			notes = append(notes, r.Note)
			title += fmt.Sprintf(" (%d)", len(notes))
		}
		b.WriteString("| " + title + " |")
		for _, who := range shown {
			b.WriteString(" " + r.cell(who) + " |")
		}
		fmt.Fprintf(b, " %s | %s |\n", r.Asked.text(r.Unit, r.Beside), r.reached())
	}
	for i, n := range notes {
		fmt.Fprintf(b, "\n(%d) %s.\n", i+1, n)
	}
	for _, r := range list {
		for _, e := range r.Entries {
			if e.Void != "" {
				line, _, _ := strings.Cut(e.Void, "\n")
				fmt.Fprintf(b, "\nNot counted: %s, %s: %s\n", r.Title, e.Who, line)
			}
		}
	}
}

func (r *result) has(who string) bool {
	return slices.ContainsFunc(r.Entries, func(e entry) bool { return e.Who == who })
}

func (r *result) cell(who string) string {
	e := r.find(who)
	if e == nil {
		if r.has(who) {
			return "void"
		}
		return "–"
	}
	text := format(median(e.Values), r.Unit)
	if len(e.Values) > 1 {
		low, high := slices.Min(e.Values), slices.Max(e.Values)
		text += fmt.Sprintf(" (%s–%s)", strings.TrimSpace(format(low, "")), strings.TrimSpace(format(high, "")))
	}
	if who == base {
		return text + ", " + r.Beside
	}
	if ratio, ok := r.ratio(who, base); ok {
		text += fmt.Sprintf(", **%.2f ×**", ratio)
	}
	return text
}
