package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		samples []float64
		q, want float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{1, 2}, 0.5, 1.5},
		{[]float64{1, 2, 3}, 0.5, 2},
		{[]float64{1, 2, 3, 10}, 0.5, 2.5},
		{[]float64{1, 2, 3, 4, 5}, 0.25, 2},
		{[]float64{1, 2, 3, 4, 5}, 0.75, 4},
		{[]float64{0, 10}, 0.25, 2.5},
		{[]float64{1, 2, 3}, 0, 1},
		{[]float64{1, 2, 3}, 1, 3},
	} {
		require.InDelta(t, c.want, quantile(c.samples, c.q), 1e-12, "%v %v", c.samples, c.q)
	}
	require.True(t, math.IsNaN(quantile(nil, 0.5)))
}

// The ranks are those of the tables for the sign test.
func TestMedianIntervalRanks(t *testing.T) {
	for n, rank := range map[int]int{1: 1, 2: 1, 5: 1, 6: 1, 8: 1, 9: 2, 10: 2, 12: 3, 15: 4, 20: 6, 25: 8, 40: 14, 100: 40} {
		samples := make([]float64, n)
		for i := range samples {
			samples[i] = float64(i + 1)
		}
		low, high := medianInterval(samples)
		require.InDelta(t, rank, low, 0, "%d samples", n)
		require.InDelta(t, n+1-rank, high, 0, "%d samples", n)
	}
	low, _ := medianInterval(nil)
	require.True(t, math.IsNaN(low))
	low, high := medianInterval(make([]float64, 5000)) // 0.5^5000 is 0
	require.Zero(t, high-low)
}

// The interval holds the true median as often as it says.
func TestMedianIntervalCovers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const trials = 4000
	held := 0
	for range trials {
		samples := make([]float64, 40)
		for i := range samples {
			samples[i] = rnd.ExpFloat64()
		}
		slices.Sort(samples)
		if low, high := medianInterval(samples); low <= math.Ln2 && math.Ln2 <= high {
			held++
		}
	}
	require.Greater(t, held, trials*95/100)
	require.Less(t, held, trials*98/100)
}

func TestRoundKeepsFiveDigitsAndIsStable(t *testing.T) {
	for in, want := range map[float64]float64{
		0: 0, 1: 1, 1.234567: 1.2346, 0.0012345678: 0.0012346, 123456: 123460, 99999.7: 100000, -1.234567: -1.2346, 4.35: 4.35,
	} {
		require.Equal(t, want, round(in))
		require.Equal(t, want, round(round(in)))
	}
	require.True(t, math.IsNaN(round(math.NaN())))
	require.True(t, math.IsInf(round(math.Inf(1)), 1))
}
