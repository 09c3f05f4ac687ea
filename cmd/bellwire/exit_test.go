package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExitCodes(t *testing.T) {
	_, usage := parse([]string{"nonsense"}, getenvOf(nil), io.Discard, io.Discard)
	refused := errors.New("refused")
	for _, test := range []struct {
		err  error
		want exitCode
	}{
		{nil, 0},
		{refused, 1},
		{usage, 2},
		{exitWith(exitLost, refused), 3},
		{fmt.Errorf("sub: %w", exitWith(exitLost, refused)), 3},
		{context.Canceled, 130},
		{fmt.Errorf("sub: %w", context.Canceled), 130},
		{exitWith(exitFailed, context.Canceled), 1},
		{&settingsError{[]settingsProblem{{origin: origin{kind: fromFile}}}}, 1},
		{&settingsError{[]settingsProblem{{origin: origin{kind: fromFile}}, {origin: origin{kind: fromFlag}}}}, 2},
	} {
		require.Equal(t, test.want, codeOf(test.err), "%v", test.err)
	}
	require.NoError(t, exitWith(exitLost, nil))
	require.ErrorIs(t, exitWith(exitLost, refused), refused)
}

func TestReport(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, "bellwire: unexpected argument nonsense\nRun \"bellwire --help\" for what there is.\n"},
		{[]string{"config", "show", "--loop=1"}, "bellwire: unknown flag --loop, did you mean \"--loops\"?\nRun \"bellwire config show --help\" for what there is.\n"},
	} {
		_, err := parse(test.args, getenvOf(nil), io.Discard, io.Discard)
		var out bytes.Buffer
		require.Equal(t, exitUsage, report(&out, err))
		require.Equal(t, test.want, out.String())
	}
	var out bytes.Buffer
	require.Equal(t, exitDone, report(&out, nil))
	require.Equal(t, exitInterrupted, report(&out, context.Canceled))
	require.Empty(t, out.String())
	require.Equal(t, exitFailed, report(&out, errors.New("no such topic")))
	require.Equal(t, "bellwire: no such topic\n", out.String())
	out.Reset()
	require.Equal(t, exitFailed, report(&out, errors.New("client: no such client: x")))
	require.Equal(t, "bellwire: no such client: x\n", out.String())
}
