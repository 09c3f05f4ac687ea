package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd is `bellwire completion`.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says where the output goes.
func (c *completionCmd) Help() string {
	return "bash: source <(bellwire completion bash)\n\n" +
		"zsh: bellwire completion zsh > \"${fpath[1]}/_bellwire\"\n\n" +
		"fish: bellwire completion fish > ~/.config/fish/completions/bellwire.fish"
}

// Run prints a script made from the command line's own model, so it can never name a flag that is not there.
func (c *completionCmd) Run(e *env, context *kong.Context) error {
	words := completionWords(context.Model.Node, "")
	var script string
	switch c.Shell {
	case "bash":
		script = bashScript(words)
	case "zsh":
		script = zshScript(words)
	case "fish":
		script = fishScript(words)
	}
	_, err := fmt.Fprint(e.stdout, script)
	return err
}

// completionNode is one command: what may follow it.
type completionNode struct {
	path     string // "" for the root, "config show"
	commands []completionWord
	flags    []completionFlag
	values   []string // what its first argument may be, if that is a choice
}

type completionWord struct{ name, help string }

type completionFlag struct {
	name    string
	help    string
	takes   bool     // a value follows
	choices []string // of the value, if known
}

// completionWords is the tree of commands, parents first.
func completionWords(node *kong.Node, path string) []completionNode {
	here := completionNode{path: path}
	for _, group := range node.AllFlags(true) {
		for _, flag := range group {
			here.flags = append(here.flags, completionFlag{flag.Name, firstLine(flag.Help), !flag.IsBool(), choicesOf(flag.Value)})
		}
	}
	for _, positional := range node.Positional {
		here.values = append(here.values, choicesOf(positional)...)
	}
	var below []completionNode
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		here.commands = append(here.commands, completionWord{child.Name, firstLine(child.Help)})
		below = append(below, completionWords(child, strings.TrimSpace(path+" "+child.Name))...)
	}
	return append([]completionNode{here}, below...)
}

// choicesOf is what a flag or argument may be, if that is a list.
func choicesOf(value *kong.Value) []string {
	if value.Enum != "" {
		return value.EnumSlice()
	}
	switch value.Target.Interface().(type) {
	case LogLevel:
		return []string{"debug", "info", "warn", "error"}
	case LogFormat:
		return []string{string(logAuto), string(logText), string(logJSON)}
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// shellQuote makes one word of text in bash, zsh and fish: single quotes, with the quote itself outside of them.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// bashScript walks the words before the cursor to find the command, skipping flags, and offers what may follow.
func bashScript(nodes []completionNode) string {
	var commands, follows, choices strings.Builder
	for _, node := range nodes {
		words := append([]string{}, node.values...)
		for _, command := range node.commands {
			words = append(words, command.name)
			fmt.Fprintf(&commands, "      %s) path=%s ;;\n", shellQuote(node.path+"/"+command.name), shellQuote(strings.TrimSpace(node.path+" "+command.name)))
		}
		flags := make([]string, 0, len(node.flags))
		for _, flag := range node.flags {
			flags = append(flags, "--"+flag.name)
			if len(flag.choices) > 0 {
				fmt.Fprintf(&choices, "    %s) COMPREPLY=($(compgen -W %s -- \"$word\")); return ;;\n",
					shellQuote(node.path+"/--"+flag.name), shellQuote(strings.Join(flag.choices, " ")))
			} else if flag.takes {
				fmt.Fprintf(&choices, "    %s) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", shellQuote(node.path+"/--"+flag.name))
			}
		}
		fmt.Fprintf(&follows, "    %s) words=%s; flags=%s ;;\n", shellQuote(node.path),
			shellQuote(strings.Join(words, " ")), shellQuote(strings.Join(flags, " ")))
	}
	return `# Completion of bellwire for bash: source <(bellwire completion bash)
_bellwire() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} path='' words='' flags='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path/${COMP_WORDS[i]}" in
` + commands.String() + `    esac
  done
  case "$path/$before" in
` + choices.String() + `  esac
  case "$path" in
` + follows.String() + `  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  elif [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -F _bellwire bellwire
`
}
