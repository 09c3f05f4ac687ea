package main

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseWithoutSettings(t *testing.T) {
	invocation, err := parse([]string{"version", "--json"}, getenvOf(nil), io.Discard, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "version", invocation.command)
	require.Nil(t, invocation.settings, "a command that does not ask for settings never reads a file")

	_, err = parse([]string{"version"}, getenvOf(map[string]string{"BELLWIRE_CONFIG": "none.yaml"}), io.Discard, io.Discard)
	require.NoError(t, err)
}

func TestCommandsOwnFieldsHoldTheFilesValues(t *testing.T) {
	invocation, err := parse([]string{"config", "show", "--loops=2"}, getenvOf(map[string]string{
		"BELLWIRE_CONFIG": writeFile(t, "name: in-file\nloops: 1\n"),
	}), io.Discard, io.Discard)
	require.NoError(t, err)
	held := heldBy(invocation.context.Selected())
	require.Equal(t, invocation.settings.Settings, held.Settings)
	require.Equal(t, "in-file", held.Name)
	require.Equal(t, 2, held.Loops)
}

func TestParseNamesTheCommandWithoutItsArguments(t *testing.T) {
	invocation, err := parse([]string{"config", "check", "some.yaml"}, getenvOf(nil), io.Discard, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "config check", invocation.command)
}

func TestHelpGoesToStdoutAndRunsNothing(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"config", "--help"}, {"config", "show", "--help"}, {"config", "check", "-h"}} {
		var stdout, stderr bytes.Buffer
		invocation, err := parse(args, getenvOf(nil), &stdout, &stderr)
		require.NoError(t, err, args)
		require.Contains(t, stdout.String(), "Usage: bellwire", args)
		require.Empty(t, stderr.String(), args)
		stdout.Reset()
		require.NoError(t, invocation.Run(&env{stdout: &stdout}))
		require.Empty(t, stdout.String(), args)
	}
}

func TestHelpShowsEachSettingWithItsDefault(t *testing.T) {
	var stdout bytes.Buffer
	_, err := parse([]string{"config", "show", "--help"}, getenvOf(nil), &stdout, io.Discard)
	require.NoError(t, err)
	for _, row := range settingTable {
		require.Contains(t, stdout.String(), "--"+row.flag(), row.key)
	}
	require.Contains(t, stdout.String(), "--limits-frame=64KiB")
}

func TestWrongCommandLines(t *testing.T) {
	for _, test := range []struct {
		args      []string
		variables map[string]string
		want      string
		code      exitCode
	}{
		{nil, nil, "expected one of", exitUsage},
		{[]string{"serf"}, nil, "unexpected argument serf", exitUsage},
		{[]string{"config"}, nil, "expected one of", exitUsage},
		{[]string{"config", "show", "--lisen=x"}, nil, "unknown flag --lisen", exitUsage},
		{[]string{"config", "show", "--loops=many"}, nil, "--loops", exitUsage},
		{[]string{"config", "show", "--limits-frame=1"}, nil, "limits.frame", exitUsage},
		{[]string{"config", "show", "--log-level=loud"}, nil, "write debug, info, warn or error", exitUsage},
		{[]string{"config", "show"}, map[string]string{"BELLWIRE_LOOPS": "many"}, `BELLWIRE_LOOPS="many"`, exitUsage},
		{[]string{"config", "show"}, map[string]string{"BELLWIRE_LOOPS": "65"}, "BELLWIRE_LOOPS: loops: 65", exitFailed},
		{[]string{"config", "show"}, map[string]string{"BELLWIRE_LIMITS_FRAME": "64k"}, `BELLWIRE_LIMITS_FRAME="64k"`, exitUsage},
		{[]string{"config", "show"}, map[string]string{"BELLWIRE_CONFIG": "none.yaml"}, "none.yaml", exitFailed},
		{[]string{"config", "check"}, nil, "<file>", exitUsage},
		{[]string{"completion", "tcsh"}, nil, "tcsh", exitUsage},
	} {
		_, err := parse(test.args, getenvOf(test.variables), io.Discard, io.Discard)
		require.ErrorContains(t, err, test.want, "%v", test.args)
		require.Equal(t, test.code, codeOf(err), "%v: %v", test.args, err)
	}
}

// TestEachFieldOfSettingsHasARow: parse refuses a row without a flag; this finds a field, and so a flag, without a row.
func TestEachFieldOfSettingsHasARow(t *testing.T) {
	s := new(Settings)
	rows := map[any]bool{}
	for _, row := range settingTable {
		rows[row.target(s)] = true
	}
	var walk func(v reflect.Value, name string)
	walk = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			field, path := v.Field(i), name+v.Type().Field(i).Name
			if field.Kind() == reflect.Struct {
				walk(field, path+".")
				continue
			}
			require.True(t, rows[field.Addr().Interface()], "%s has no row in settingTable", path)
			delete(rows, field.Addr().Interface())
		}
	}
	walk(reflect.ValueOf(s).Elem(), "Settings.")
	require.Empty(t, rows, "two rows for one field")
}

// TestHelpShowsDefaults: also where a placeholder stands in their place.
func TestHelpShowsDefaults(t *testing.T) {
	for _, test := range []struct{ command, want string }{
		{"sub", "Default: 127.0.0.1:7311, with TLS 127.0.0.1:7315."},
		{"pub", "Default: 127.0.0.1:7311, with TLS 127.0.0.1:7315."},
		{"status", "Default: 127.0.0.1:7312."},
		{"demo", "Default: 1000."},
		{"demo", "Default: 20s."},
		{"demo", "Default: 3."},
		{"serve", `--listen="127.0.0.1:7311"`},
	} {
		_, help, _ := ran(nil, test.command, "--help")
		require.Contains(t, strings.Join(strings.Fields(help), " "), test.want, test.command)
	}
}
