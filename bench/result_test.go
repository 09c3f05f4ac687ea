package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sampleResult(t *testing.T) Result {
	r := Result{
		Scenario: "fanout", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "bellwire bench fanout", Server: "bellwire serve",
		Machine: Machine{CPU: "A Processor", Cores: 2, MemoryMiB: 1024, System: "linux 6", Go: "go1", Congestion: "cubic", Hypervisor: true},
	}
	r.set("subscribers", 1000)
	for i := range 5 {
		r.add("gateway", "µs", 1.1*float64(i+1))
		r.add("floor", "µs", float64(i+1))
	}
	require.NoError(t, r.ratio("gateway / floor", "fanout-1", "gateway", "floor"))
	require.NoError(t, r.figure("gateway", "", "gateway"))
	return r
}

func TestRatioIsTakenPairByPair(t *testing.T) {
	f := sampleResult(t).Figures[0]
	require.Equal(t, Figure{
		Name: "gateway / floor", Target: "fanout-1", Series: "gateway", Over: "floor", Unit: "×", Samples: 5,
		Median: 1.1, Q1: 1.1, Q3: 1.1, Low: 1.1, High: 1.1,
	}, f)
}

func TestFigureNeedsItsSeries(t *testing.T) {
	r := sampleResult(t)
	require.ErrorContains(t, r.figure("x", "", "none"), `no series "none"`)
	require.ErrorContains(t, r.ratio("x", "", "gateway", "none"), `no series "none"`)
	r.add("floor", "µs", 1)
	require.ErrorContains(t, r.ratio("x", "", "gateway", "floor"), "they are no pairs")
}

func TestCheckFindsAnEditedFigure(t *testing.T) {
	r := sampleResult(t)
	require.NoError(t, r.check())
	for _, edit := range []func(*Result){
		func(r *Result) { r.Figures[0].Median = 1.0 },
		func(r *Result) { r.Figures[1].Q3++ },
		func(r *Result) { r.Figures[1].Samples++ },
		func(r *Result) { r.Figures[1].Series = "none" },
		func(r *Result) { r.Series[0].Samples[2]++ },
	} {
		edited := sampleResult(t)
		edit(&edited)
		require.Error(t, edited.check())
	}
}

func TestResultSurvivesItsFile(t *testing.T) {
	r := sampleResult(t)
	file := filepath.Join(t.TempDir(), "r.json")
	require.NoError(t, r.WriteFile(file))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var again Result
	require.NoError(t, json.Unmarshal(b, &again))
	require.Equal(t, r, again)
	require.NoError(t, again.check())
}

func TestTableSaysTargetAndVerdict(t *testing.T) {
	var b strings.Builder
	require.NoError(t, sampleResult(t).WriteTable(&b))
	lines := strings.Split(b.String(), "\n")
	require.Regexp(t, `gateway / floor +1.1 +× +1.1 – 1.1 +1.1 – 1.1 +5 +≤ 1.15 × +met`, lines[1])
	require.Regexp(t, `gateway +3.3 +µs +2.2 – 4.4 +1.1 – 5.5 +5`, lines[2])
}

func TestNumber(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0", 1: "1", 1.23456: "1.23", 0.000123456: "0.000123", 123.456: "123", 1234.56: "1235", 2511800: "2511800",
		-0.02: "-0.02", 999.7: "1000", -2000.4: "-2000",
	} {
		require.Equal(t, want, number(in))
	}
}

func TestVerdict(t *testing.T) {
	reach, under, least := target{limit: 2}, target{limit: 2, under: true}, target{limit: 2, least: true}
	require.Equal(t, "met", reach.verdict(2))
	require.Equal(t, "missed", reach.verdict(2.1))
	require.Equal(t, "met", under.verdict(1.9))
	require.Equal(t, "missed", under.verdict(2))
	require.Equal(t, "met", least.verdict(2))
	require.Equal(t, "met", least.verdict(2.1))
	require.Equal(t, "missed", least.verdict(1.9))
	require.Equal(t, "stated", target{stated: true}.verdict(5))
}
