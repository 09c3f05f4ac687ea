package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goOutput = `command: go test -bench=. ./wire ./fanout
date: 2026-01-02
goos: linux
goarch: amd64
pkg: example.org/project/wire
cpu: A Processor @ 2.80GHz
BenchmarkEncode-2   	 1000000	        12.5 ns/op	       0 B/op	       0 allocs/op
BenchmarkEncode-2   	 1000000	        13.5 ns/op	       0 B/op	       0 allocs/op
BenchmarkDecode/64-bytes-2     	 2000000	         7 ns/op
PASS
ok  	example.org/project/wire	1.2s
pkg: example.org/project/fanout
BenchmarkHot 	 300	 80 ns/op	 41.5 bytes/sub
BenchmarkSkipped
`

func TestParseGoBenchmarks(t *testing.T) {
	b, err := ParseGoBenchmarks(strings.NewReader(goOutput))
	require.NoError(t, err)
	require.Equal(t, "go test -bench=. ./wire ./fanout", b.Command)
	require.Equal(t, "2026-01-02", b.Date)
	require.Equal(t, "linux", b.System)
	require.Equal(t, "amd64", b.Arch)
	require.Equal(t, "A Processor @ 2.80GHz", b.CPU)
	require.Equal(t, []string{"wire.Encode", "wire.Decode/64-bytes", "fanout.Hot"}, b.names())
	require.Equal(t, []float64{12.5, 13.5}, b.samples("wire.Encode", "ns/op"))
	require.Equal(t, []float64{0, 0}, b.samples("wire.Encode", "allocs/op"))
	require.Equal(t, []float64{41.5}, b.samples("fanout.Hot", "bytes/sub"))
	require.Equal(t, []string{"ns/op", "B/op", "allocs/op", "bytes/sub"}, b.units("fanout.Hot"))
	require.Empty(t, b.samples("fanout.Encode", "ns/op"))
	require.Equal(t, GoRun{
		Package: "example.org/project/fanout", Name: "Hot", N: 300, Values: map[string]float64{"ns/op": 80, "bytes/sub": 41.5},
	}, b.Runs[3])
}

func TestParseGoBenchmarksRefusesBrokenLines(t *testing.T) {
	for want, line := range map[string]string{
		"line 1: BenchmarkX-2 has no number of runs": "BenchmarkX-2 many 5 ns/op",
		"ends in a number without a unit":            "BenchmarkX-2 1 5 ns/op 7",
		"is not a number of ns/op":                   "BenchmarkX-2 1 fast ns/op",
	} {
		_, err := ParseGoBenchmarks(strings.NewReader(line))
		require.ErrorContains(t, err, want)
	}
}

func FuzzParseGoBenchmarks(f *testing.F) {
	f.Add(goOutput)
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseGoBenchmarks(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, name := range b.names() {
			require.Contains(t, name, ".")
			for _, unit := range b.units(name) {
				require.LessOrEqual(t, len(b.samples(name, unit)), len(b.Runs))
			}
		}
	})
}

// What is written for benchstat is read back by our own reader of such files.
func TestGoBenchIsReadBack(t *testing.T) {
	var b strings.Builder
	r := sampleResult(t)
	r.add("gateway, latency p99.9", "ms", 1.5)
	r.add("gateway, deliveries", "/s", 1000)
	r.add("gateway, memory (RSS)", "MiB", 2)
	require.NoError(t, WriteGoBench(&b, []Result{r, r}))
	all, err := ParseGoBenchmarks(strings.NewReader(b.String()))
	require.NoError(t, err)
	require.Equal(t, "bellwire bench fanout", all.Command)
	require.Equal(t, "2026-01-02", all.Date)
	values := map[string]map[string]float64{}
	for _, run := range all.Runs {
		values[run.Name] = run.Values
	}
	require.Equal(t, map[string]map[string]float64{
		"Fanout/gateway": {"ns/op": 5500}, "Fanout/floor": {"ns/op": 5000}, "Fanout/gateway/latency_p99.9": {"ns/op": 1.5e6},
		"Fanout/gateway/deliveries": {"n/s": 1000}, "Fanout/gateway/memory_(RSS)": {"B/op": 2097200},
	}, values)
	require.Len(t, all.Runs, 2*13)
}
