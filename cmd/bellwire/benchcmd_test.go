package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
)

func TestBenchSaysWhatProducedIt(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"bench", "fanout"}, "bellwire bench fanout"},
		{[]string{"bench", "fanout", "--pin", "--output", "x.json", "--pairs", "3", "--json"}, "bellwire bench fanout --pin --pairs 3"},
		{[]string{"bench", "idle", "--output=x.json", "--gateway", "gw -a {listen} -b {admin}"}, "bellwire bench idle --gateway 'gw -a {listen} -b {admin}'"},
	} {
		require.Equal(t, test.want, (&benchOutput{}).command(&kong.Context{Path: nil, Args: test.args}))
	}
}

func TestBenchServers(t *testing.T) {
	e := &env{program: "bin/bellwire"}
	require.Equal(t, []string{"bin/bellwire", "serve", "--listen", "{listen}", "--admin", "{admin}", "--loops", "1"}, (&benchFlags{}).server(e, "--loops", "1"))
	require.Equal(t, []string{"gw", "-l", "{listen}"}, (&benchFlags{Gateway: "gw -l {listen}"}).server(e, "--loops", "1"))
}

func TestBenchResultsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	r := bench.Result{Scenario: "idle", Date: time.Unix(0, 0).UTC()}
	var out bytes.Buffer
	require.NoError(t, (&benchOutput{Output: path, JSON: true}).done(&env{stdout: &out}, r, nil))
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(kept), out.String())
	out.Reset()
	require.NoError(t, (&benchOutput{}).done(&env{stdout: &out}, r, nil))
	require.Contains(t, out.String(), "median")
	require.Equal(t, errCut, (&benchOutput{}).done(&env{stdout: &out}, r, errCut))
	require.ErrorContains(t, (&benchOutput{Output: t.TempDir()}).done(&env{stdout: &out}, r, nil), "cannot keep")
}

func TestBenchReport(t *testing.T) {
	code, stdout, stderr := ran(nil, "bench", "report", "../../bench/results")
	require.Equal(t, exitDone, code, stderr)
	committed, err := os.ReadFile("../../bench/RESULTS.md")
	require.NoError(t, err)
	require.Equal(t, string(committed), stdout, "the command makes the report that is committed")

	path := filepath.Join(t.TempDir(), "report.md")
	code, stdout, stderr = ran(nil, "bench", "report", "../../bench/results", "--output", path)
	require.Equal(t, exitDone, code, stderr)
	require.Empty(t, stdout)
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(committed), string(written))
}
