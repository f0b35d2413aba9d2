package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completeVerb is what the shells' scripts call: sallyport __complete WORD…, the
// last word being the one under the cursor. It answers candidates, one a line.
const completeVerb = "__complete"

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a script to be sourced.
func (c *completionCommand) Run(r *run) error {
	_, err := fmt.Fprint(r.out, completionScripts[c.Shell])
	return err
}

var completionScripts = map[string]string{
	"bash": `# bash completion of sallyport: source <(sallyport completion bash)
_sallyport() {
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$(sallyport __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _sallyport sallyport
`,
	"zsh": `#compdef sallyport
# zsh completion of sallyport: source <(sallyport completion zsh)
_sallyport() {
    local -a candidates
    candidates=("${(@f)$(sallyport __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${candidates[1]}" ]]; then compadd -- "${candidates[@]}"; else _files; fi
}
compdef _sallyport sallyport
`,
	"fish": `# fish completion of sallyport: sallyport completion fish | source
complete -c sallyport -a '(sallyport __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

// complete writes what may stand at the last of words.
func complete(k *kong.Kong, words []string, out io.Writer) {
	if len(words) == 0 {
		words = []string{""}
	}
	node, value := k.Model.Node, (*kong.Flag)(nil)
	for _, w := range words[:len(words)-1] {
		if value != nil {
			value = nil // the value of the flag before
			continue
		}
		if strings.HasPrefix(w, "-") {
			if f := findFlag(node, w); f != nil && !f.IsBool() && !strings.Contains(w, "=") {
				value = f
			}
			continue
		}
		for _, child := range node.Children {
			if child.Name == w {
				node = child
				break
			}
		}
	}
	last := words[len(words)-1]
	for _, c := range candidates(node, value, last) {
		if strings.HasPrefix(c, last) {
			fmt.Fprintln(out, c)
		}
	}
}

func candidates(node *kong.Node, value *kong.Flag, last string) (list []string) {
	if value != nil {
		return enumOf(value.Value)
	}
	if strings.HasPrefix(last, "-") {
		for n := node; n != nil; n = n.Parent {
			for _, f := range n.Flags {
				if !f.Hidden {
					list = append(list, "--"+f.Name)
				}
			}
		}
		return list
	}
	for _, c := range node.Children {
		if !c.Hidden {
			list = append(list, c.Name)
		}
	}
	for _, p := range node.Positional {
		list = append(list, enumOf(p)...)
	}
	return list
}

func enumOf(v *kong.Value) (list []string) {
	for _, e := range strings.Split(v.Enum, ",") {
		if e = strings.TrimSpace(e); e != "" {
			list = append(list, e)
		}
	}
	return list
}

func findFlag(node *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	for n := node; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if f.Name == name || len(name) == 1 && f.Short == rune(name[0]) {
				return f
			}
		}
	}
	return nil
}
