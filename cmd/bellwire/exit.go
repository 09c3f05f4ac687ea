package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// exitCode is what the process ends with; scripts rely on the numbers.
type exitCode int

const (
	exitDone        exitCode = 0   // all of it was done
	exitFailed      exitCode = 1   // refused or failed
	exitUsage       exitCode = 2   // the command line cannot be run as it stands
	exitLost        exitCode = 3   // the connection was lost and reconnecting was given up
	exitInterrupted exitCode = 130 // stopped by SIGINT, as a shell counts it
)

// exitError is an error that says how the process ends.
type exitError struct {
	code exitCode
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

// exitWith gives err an exit code; nil stays nil.
func exitWith(code exitCode, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// codeOf is the exit code of a command that returned err: what exitWith or the settings say, 2 for a command line that
// does not parse, 130 for a cancelled context, else 1.
func codeOf(err error) exitCode {
	var coded *exitError
	var settings *settingsError
	var parse *kong.ParseError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &settings):
		return settings.code()
	case errors.As(err, &parse):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// report writes err for a person, and for a usage error where to read on. An interrupt needs no words: the person did it.
func report(w io.Writer, err error) exitCode {
	code := codeOf(err)
	if code == exitDone || code == exitInterrupted {
		return code
	}
	fmt.Fprintf(w, "bellwire: %s\n", inWords(err))
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		command := "bellwire"
		if parse.Context != nil {
			if node := parse.Context.Selected(); node != nil {
				command = node.FullPath()
			}
		}
		fmt.Fprintf(w, "Run \"%s --help\" for what there is.\n", command)
	}
	return code
}

// inWords is an error for a person, who does not care which package of this program it comes from.
func inWords(err error) string { return strings.TrimPrefix(err.Error(), "client: ") }
