package main

import (
	"fmt"
	"strings"
)

// zshScript is one function per command, in the words of zsh's _arguments.
func zshScript(nodes []completionNode) string {
	var out strings.Builder
	out.WriteString("#compdef bellwire\n# Completion of bellwire for zsh: put it into a directory of $fpath as _bellwire.\n")
	for _, node := range nodes {
		fmt.Fprintf(&out, "\n%s() {\n", zshFunction(node.path))
		if len(node.commands) > 0 {
			out.WriteString("  local -a commands=(\n")
			for _, command := range node.commands {
				fmt.Fprintf(&out, "    %s\n", shellQuote(zshWord(command.name)+":"+command.help))
			}
			out.WriteString("  )\n  local context state line\n")
		}
		out.WriteString("  _arguments -C")
		for _, flag := range node.flags {
			fmt.Fprintf(&out, " \\\n    %s", shellQuote(zshFlag(flag)))
		}
		switch {
		case len(node.commands) > 0:
			out.WriteString(" \\\n    '1:command:->command' \\\n    '*::argument:->argument'\n")
			out.WriteString("  case $state in\n    command) _describe command commands ;;\n    argument)\n      case $line[1] in\n")
			for _, command := range node.commands {
				fmt.Fprintf(&out, "        %s) %s ;;\n", command.name, zshFunction(strings.TrimSpace(node.path+" "+command.name)))
			}
			out.WriteString("      esac ;;\n  esac\n")
		case len(node.values) > 0:
			fmt.Fprintf(&out, " \\\n    %s\n", shellQuote("1:argument:("+strings.Join(node.values, " ")+")"))
		default:
			out.WriteString(" \\\n    '*:file:_files'\n")
		}
		out.WriteString("}\n")
	}
	// zsh runs the file as the function _bellwire when it finds it in $fpath; sourced, it has to be announced.
	out.WriteString("\nif [[ $funcstack[1] == _bellwire ]]; then _bellwire \"$@\"; else compdef _bellwire bellwire; fi\n")
	return out.String()
}

func zshFunction(path string) string {
	return strings.TrimSuffix("_bellwire_"+strings.NewReplacer(" ", "_", "-", "_").Replace(path), "_")
}

// zshWord escapes what _arguments and _describe read as a separator.
func zshWord(text string) string {
	return strings.NewReplacer(":", `\:`, "[", `\[`, "]", `\]`).Replace(text)
}

func zshFlag(flag completionFlag) string {
	word := "--" + flag.name
	if flag.takes {
		word += "="
	}
	word += "[" + zshWord(flag.help) + "]"
	switch {
	case len(flag.choices) > 0:
		word += ":" + zshWord(flag.name) + ":(" + strings.Join(flag.choices, " ") + ")"
	case flag.takes:
		word += ":" + zshWord(flag.name) + ":_files"
	}
	return word
}

// fishScript is one line per word, each with the condition under which it fits.
func fishScript(nodes []completionNode) string {
	var out strings.Builder
	out.WriteString("# Completion of bellwire for fish: put it into ~/.config/fish/completions/bellwire.fish\n")
	for _, node := range nodes {
		condition := fishCondition(node)
		for _, command := range node.commands {
			fmt.Fprintf(&out, "complete -c bellwire -n %s -f -a %s -d %s\n", condition, command.name, fishQuote(command.help))
		}
		if len(node.values) > 0 {
			fmt.Fprintf(&out, "complete -c bellwire -n %s -f -a %s\n", condition, fishQuote(strings.Join(node.values, " ")))
		}
		for _, flag := range node.flags {
			fmt.Fprintf(&out, "complete -c bellwire -n %s -l %s", condition, flag.name)
			switch {
			case len(flag.choices) > 0:
				fmt.Fprintf(&out, " -x -a %s", fishQuote(strings.Join(flag.choices, " ")))
			case flag.takes:
				out.WriteString(" -r")
			}
			fmt.Fprintf(&out, " -d %s\n", fishQuote(flag.help))
		}
	}
	return out.String()
}

// fishCondition holds after the words of the command's path and before those of its subcommands.
func fishCondition(node completionNode) string {
	var tests []string
	for word := range strings.FieldsSeq(node.path) {
		tests = append(tests, "__fish_seen_subcommand_from "+word)
	}
	if len(node.commands) > 0 {
		names := make([]string, 0, len(node.commands))
		for _, command := range node.commands {
			names = append(names, command.name)
		}
		tests = append(tests, "not __fish_seen_subcommand_from "+strings.Join(names, " "))
	}
	if len(tests) == 0 {
		return "true"
	}
	return fishQuote(strings.Join(tests, "; and "))
}

// fishQuote: fish reads \' and \\ within single quotes.
func fishQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
