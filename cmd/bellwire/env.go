package main

import (
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"
)

// envPrefix starts the name of every environment variable that Bellwire reads.
const envPrefix = "BELLWIRE_"

// env is the world of one run: what a command reads from and writes to. Nothing below main reaches past it.
type env struct {
	getenv   func(string) string
	stdin    io.Reader
	stdout   io.Writer // results
	stderr   io.Writer // errors and logs
	terminal func(w io.Writer) bool
	notify   func(c chan<- os.Signal, wanted ...os.Signal) // as signal.Notify; nil: there are no signals
	program  string                                        // how this program is called, to call it again
}

// processEnv is the env of the real process.
func processEnv() *env {
	return &env{
		getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, terminal: isTerminal,
		notify: signal.Notify, program: os.Args[0],
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// envName is the variable of a flag, the same for every command: --log-level is BELLWIRE_LOG_LEVEL.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// colours says whether w gets colours: a terminal, unless NO_COLOR is set to anything.
func (e *env) colours(w io.Writer) bool {
	return e.terminal(w) && e.getenv("NO_COLOR") == ""
}
