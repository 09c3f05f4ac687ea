package bench

import (
	"encoding/json"
	"flag"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

//go:generate go test -run ^TestResultsAreGenerated$ . -update

var update = flag.Bool("update", false, "write RESULTS.md anew")

func TestResultsAreGenerated(t *testing.T) {
	want, err := Report(os.DirFS("results"))
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("RESULTS.md", want, 0o644))
	}
	have, err := os.ReadFile("RESULTS.md")
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "make results writes it anew")
}

func asJSON(t *testing.T, r Result) *fstest.MapFile {
	b, err := json.Marshal(r)
	require.NoError(t, err)
	return &fstest.MapFile{Data: b}
}

func TestReport(t *testing.T) {
	b, err := Report(fstest.MapFS{
		"fanout.json": asJSON(t, sampleResult(t)),
		"micro.txt":   {Data: []byte(strings.ReplaceAll(goOutput, "BenchmarkEncode", "BenchmarkMessageEncode64/plain"))},
	})
	require.NoError(t, err)
	report := string(b)
	for _, line := range []string{
		"| ≤ 1.15 × | 1.1 × | 1.1 – 1.1 | met | [fanout](results/fanout.json) |",
		"| < 20 ns | 13 ns | 12.8 – 13.2 | met | [micro](results/micro.txt) |",
		"| ≤ 800 B | not measured | | | `bellwire bench idle` |",
		"`bellwire bench fanout`",
		"2026-01-02 03:04 UTC, A Processor, 2 logical cores, virtual machine, 1024 MiB, linux 6, TCP congestion control cubic, go1.",
		"| gateway | 3.3 µs | 2.2 – 4.4 | 1.1 – 5.5 | 5 |",
		"| fanout.Hot | 1 | 80 |  |  | 41.5 bytes/sub |",
	} {
		require.Contains(t, report, line)
	}
}

func TestReportRefusesWhatDoesNotHold(t *testing.T) {
	good, edited, stray := sampleResult(t), sampleResult(t), sampleResult(t)
	edited.Figures[0].Median = 1
	stray.Figures[0].Target = "none"
	for want, dir := range map[string]fstest.MapFS{
		`both answer the target "fanout-1"`: {"a.json": asJSON(t, good), "b.json": asJSON(t, good)},
		"is measured anew, not edited":      {"a.json": asJSON(t, edited)},
		`there is no target "none"`:         {"a.json": asJSON(t, stray)},
		"unknown field":                     {"a.json": {Data: []byte(`{"median": 1}`)}},
		"must say where it is from":         {"a.txt": {Data: []byte("pkg: x\n")}},
		"a.txt: line 1":                     {"a.txt": {Data: []byte("BenchmarkX many 1 ns/op\n")}},
	} {
		_, err := Report(dir)
		require.ErrorContains(t, err, want)
	}
}

func TestTargetIsAnsweredByTheWorstBenchmark(t *testing.T) {
	b := GoBenchmarks{Runs: []GoRun{
		{Package: "p", Name: "A/x", Values: map[string]float64{"ns/op": 30}},
		{Package: "p", Name: "A/y", Values: map[string]float64{"ns/op": 40}},
		{Package: "p", Name: "A/z", Values: map[string]float64{"B/sub": 99}},
		{Package: "p", Name: "A/x/deeper", Values: map[string]float64{"ns/op": 99}},
		{Package: "p", Name: "Map", Values: map[string]float64{"ns/op": 20}},
	}}
	f, ok := target{benchmark: "p.A/*", unit: "ns/op"}.measuredBy(b)
	require.True(t, ok)
	require.InDelta(t, 40, f.Median, 0)
	require.Equal(t, "ns", f.Unit)
	f, ok = target{benchmark: "p.A/*", over: "p.Map", unit: "ns/op"}.measuredBy(b)
	require.True(t, ok)
	require.InDelta(t, 2, f.Median, 0)
	require.Equal(t, "×", f.Unit)
	for _, none := range []target{
		{benchmark: "p.A/*", over: "p.None", unit: "ns/op"}, {benchmark: "p.None", unit: "ns/op"}, {unit: "ns/op"},
	} {
		_, ok = none.measuredBy(b)
		require.False(t, ok)
	}
}

// A pattern that is wrong would leave its target unmeasured for ever.
func TestTargetPatternsAreValid(t *testing.T) {
	for _, g := range targets() {
		for _, pattern := range strings.Fields(g.benchmark) {
			_, err := path.Match(pattern, "")
			require.NoError(t, err, g.id)
		}
		require.Equal(t, g.benchmark != "", g.unit != "", g.id)
	}
	live, _ := targetByID("encode")
	for name, want := range map[string]bool{"plain": true, "low": true, "origin": false, "replay": false, "named": false} {
		require.Equal(t, want, live.names("wire.MessageEncode64/"+name), name)
	}
	churn, _ := targetByID("churn-hot")
	require.True(t, churn.names("fanout.IndexWithFilters/worst/hot"))
	require.False(t, churn.names("fanout.IndexWithFilters/worst/random"))
}

func TestTargetIDsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range targets() {
		require.False(t, seen[g.id], g.id)
		seen[g.id] = true
		require.NotEmpty(t, g.Goal)
		require.NotEmpty(t, g.what)
		require.NotEqual(t, g.by == "", g.benchmark == "", "%s: a command or a benchmark measures it", g.id)
	}
}
