package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the committed sample settings anew")

// ran runs a whole command line, away from the process.
func ran(variables map[string]string, args ...string) (code exitCode, stdout, stderr string) {
	var out, errs bytes.Buffer
	e := &env{
		getenv: getenvOf(variables), stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		terminal: func(io.Writer) bool { return false },
	}
	code = run(args, e)
	return code, out.String(), errs.String()
}

func TestConfigInitIsExactlyTheDefaults(t *testing.T) {
	code, stdout, stderr := ran(nil, "config", "init")
	require.Equal(t, exitDone, code)
	require.Empty(t, stderr)
	want, err := defaultSettings()
	require.NoError(t, err)
	var got Settings
	origins, err := parseConfig("init", []byte(stdout), &got)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Len(t, origins, len(settingTable), "every setting stands in it")
	for _, row := range settingTable {
		require.Contains(t, stdout, sentence(row.what), row.key)
		require.Contains(t, stdout, sentence(row.why), row.key)
	}
}

func TestSampleInDistIsWhatInitPrints(t *testing.T) {
	const sample = "dist/bellwire.yaml"
	if *update {
		require.NoError(t, os.WriteFile(sample, sampleConfig(), 0o644))
	}
	got, err := os.ReadFile(sample)
	require.NoError(t, err)
	require.Equal(t, string(sampleConfig()), string(got), "run go test ./cmd/bellwire -run Sample -update")
}

func TestConfigCheck(t *testing.T) {
	good := writeFile(t, "limits: {subscriptions: 7}\n")
	code, stdout, stderr := ran(map[string]string{"BELLWIRE_LOOPS": "nonsense"}, "config", "check", good)
	require.Equal(t, exitDone, code, "only the file is judged: %s", stderr)
	require.Equal(t, fmt.Sprintf("%s: good, 1 of %d settings\n", good, len(settingTable)), stdout)

	wrong := writeFile(t, "lisen: x\nlimits:\n  subscriptions: many\n")
	code, stdout, stderr = ran(nil, "config", "check", wrong)
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Equal(t, "bellwire: "+wrong+":1:1: lisen: no such setting: is listen meant?\n"+
		wrong+":3:18: limits.subscriptions: is text (\"many\"), not a whole number such as 64\n", stderr)

	contradicting := writeFile(t, "limits:\n  keepalive: {min: 1h}\n")
	code, _, stderr = ran(nil, "config", "check", contradicting)
	require.Equal(t, exitFailed, code)
	require.Equal(t, "bellwire: "+contradicting+":2: limits.keepalive.min does not go with limits.keepalive.default (default): "+
		"10m is out of range: write limits.keepalive.min to max, 1h to 1h\n", stderr)
}

// TestAFlagThatDefaultsDoNotGoWith: the flag is to blame, not the default that it does not fit.
func TestAFlagThatDefaultsDoNotGoWith(t *testing.T) {
	code, _, stderr := ran(nil, "config", "show", "--limits-frame", "1MiB")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "bellwire: --limits-frame: limits.frame does not go with limits.pending_bytes (default): "+
		"256KiB is less than one frame: write at least limits.frame, 1MiB\n")
	code, _, stderr = ran(nil, "config", "show", "--limits-frame", "1MiB", "--limits-pending-bytes=1MiB", "--limits-publish-credit=1MiB")
	require.Equal(t, exitUsage, code)
	require.Equal(t, "bellwire: --limits-publish-credit: limits.publish_credit: 1MiB is less than two frames: "+
		"write at least twice limits.frame, 2MiB\n", stderr, "both were given: the rule is that of the second")
	code, _, _ = ran(map[string]string{"BELLWIRE_LIMITS_FRAME": "1MiB"}, "config", "show")
	require.Equal(t, exitFailed, code, "not the command line's fault")
}

func TestConfigShowTable(t *testing.T) {
	file := writeFile(t, "limits: {subscriptions: 7}\n")
	code, stdout, stderr := ran(map[string]string{"BELLWIRE_LOOPS": "2"}, "config", "show", "--config", file, "--name=edge-1")
	require.Equal(t, exitDone, code, stderr)
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	require.Len(t, lines, len(settingTable)+1)
	origins := strings.Index(lines[0], "FROM")
	cells := map[string][]string{}
	for _, line := range lines[1:] {
		fields := strings.Fields(line[:origins])
		cells[fields[0]] = []string{fields[1], line[origins:]}
	}
	require.Equal(t, []string{"edge-1", "flag --name"}, cells["name"])
	require.Equal(t, []string{"2", "environment BELLWIRE_LOOPS"}, cells["loops"])
	require.Equal(t, []string{"7", "file " + file + ":1"}, cells["limits.subscriptions"])
	require.Equal(t, []string{"64KiB", "default"}, cells["limits.frame"])
}

func TestConfigShowJSON(t *testing.T) {
	code, stdout, stderr := ran(map[string]string{"BELLWIRE_PPROF": "true"}, "config", "show", "--json", "--broadcast=a/#,b")
	require.Equal(t, exitDone, code, stderr)
	var got map[string]struct {
		Value  any
		Origin string
		Where  string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Len(t, got, len(settingTable))
	require.Equal(t, []any{"a/#", "b"}, got["broadcast"].Value)
	require.Equal(t, "flag", got["broadcast"].Origin)
	require.Equal(t, true, got["pprof"].Value)
	require.Equal(t, "BELLWIRE_PPROF", got["pprof"].Where)
	require.Equal(t, "64KiB", got["limits.frame"].Value)
	require.InDelta(t, 1_000_000, got["limits.topics"].Value, 0)
	require.Less(t, strings.Index(stdout, `"name"`), strings.Index(stdout, `"drain.within"`), "in the order of the table")
}
