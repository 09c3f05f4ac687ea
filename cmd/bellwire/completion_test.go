package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func completionScript(t *testing.T, shell string) string {
	t.Helper()
	code, stdout, stderr := ran(nil, "completion", shell)
	require.Equal(t, exitDone, code, stderr)
	return stdout
}

// TestBashCompletes asks a real bash; its answer is the words in the order of the script.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	script := completionScript(t, "bash")
	for _, test := range []struct {
		line string // the last word is the one under the cursor
		want string // words that must be offered, and no others if it begins with "="
	}{
		{"bellwire conf", "=config"},
		{"bellwire config ", "=init check show"},
		{"bellwire config s", "=show"},
		{"bellwire config show --limits-replay-", "=--limits-replay-messages --limits-replay-bytes --limits-replay-age --limits-replay-total"},
		{"bellwire config show --log-level ", "=debug info warn error"},
		{"bellwire config show --log-format j", "=json"},
		{"bellwire config show --limits-frame 4KiB --ins", "=--insecure"},
		{"bellwire completion ", "=bash zsh fish"},
		{"bellwire version --", "--help --json"},
		{"bellwire config show --config /dev/nul", "=/dev/null"},
		{"bellwire config check /dev/nul", "=/dev/null"},
	} {
		words := strings.Split(test.line, " ")
		for i, word := range words {
			words[i] = shellQuote(word)
		}
		ask := script + "\nCOMP_WORDS=(" + strings.Join(words, " ") + "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _bellwire; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
		command := exec.Command(bash, "--norc", "-eu", "-s")
		command.Stdin = strings.NewReader(ask)
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", test.line, out)
		got := strings.Fields(string(out))
		want, exactly := strings.CutPrefix(test.want, "=")
		if exactly {
			require.ElementsMatch(t, strings.Fields(want), got, test.line)
		} else {
			require.Subset(t, got, strings.Fields(want), test.line)
		}
	}
}

// TestShellsAcceptTheScripts has each shell that is installed check the syntax.
func TestShellsAcceptTheScripts(t *testing.T) {
	asked := 0
	for _, shell := range []string{"bash", "zsh", "fish"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		asked++
		command := exec.Command(path, "-n")
		command.Stdin = strings.NewReader(completionScript(t, shell))
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", shell, out)
		require.Empty(t, string(out), shell)
	}
	if asked == 0 {
		t.Skip("none of the shells is here")
	}
}

func TestScriptsNameEachCommandAndFlag(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := completionScript(t, shell)
		for _, word := range []string{"config", "init", "check", "show", "version", "completion"} {
			require.Contains(t, script, word, shell)
		}
		for _, row := range settingTable {
			require.Contains(t, script, row.flag(), shell)
		}
	}
}

func TestQuoting(t *testing.T) {
	require.Equal(t, `'it'\''s'`, shellQuote("it's"))
	require.Equal(t, `'it\'s \\'`, fishQuote(`it's \`))
	require.Equal(t, `a\:b\[c\]`, zshWord("a:b[c]"))
}
